// The forward transform with neighbouring rows as lanes.
// spectrum * filter -> |inverse transform|, low-passed, as one channel; with `spectrum_too` its own spectrum in work.second.
template <int LEVEL>
static void wavelet(const Plan& plan, const Fold& f, const Planes& spectrum, bool spectrum_too, Work& work) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), STRIDE = ROUND(W);
  const Smoothing &across = plan.horizontal[LEVEL], &down = plan.vertical[LEVEL];
  const Window row_window(across, W), column_window(down, H);
  const int columns = ROUND(across.outputs);
  filter_columns<LEVEL>(f, spectrum, work);
  Vector* line = work.line + row_window.lead;
  for (int y = 0; y < H; y += LANES) {
    STAGE(inverse_rows);
    Vector re[STRIDE], im[STRIDE];
    transpose_in(work.folded.re + (size_t)y * STRIDE, STRIDE, W, re);
    transpose_in(work.folded.im + (size_t)y * STRIDE, STRIDE, W, im);
    Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{re[k], im[k]}; },
      [&](int x, Vector r, Vector i) ALWAYS_INLINE { line[x] = modulus(r, i); });
    if constexpr (LEVEL < OCTAVES - 1) {
      if (spectrum_too) {
        STAGE(forward_rows);
        const Planes to = work.half.at(y);
        transform_line<W>(line, [&](int k, Vector r, Vector i) ALWAYS_INLINE { store(to.re + (size_t)k * ROUND(H), r); store(to.im + (size_t)k * ROUND(H), i); });
      }
    }
    STAGE(lowpass);
    smooth_rows<LEVEL>(plan, row_window, work, work.smoothed + (size_t)(column_window.lead + y) * columns);
  }
  smooth_down<LEVEL>(plan, column_window, work);
  if constexpr (LEVEL < OCTAVES - 1) {
    if (spectrum_too) transform_columns<H, W>(work.half, nullptr, H, work.second);
  }
}

using Wavelet = void (*)(const Plan&, const Fold&, const Planes&, bool, Work&);
template <int... LEVELS> static Wavelet wavelet_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Wavelet table[] = {wavelet<LEVELS>...};
  return table[level];
}
static Wavelet wavelet_at(int level) { return wavelet_at(level, std::make_integer_sequence<int, OCTAVES>()); }

// The order-1 channel (j1, theta1) and all order-2 channels that begin with it.
static void paths(const Plan& plan, long image, int j1, int theta1, const Planes& spectrum, float* coefficients, Work& work) {
  const int L = plan.angles;
  const bool more = plan.order == 2 && j1 < OCTAVES - 1;
  ORDER(1);
  wavelet_at(j1)(plan, plan.first[j1 * L + theta1], spectrum, more, work);
  write_channel(plan, image, work, 1 + j1 * L + theta1, coefficients);
  if (!more) return;
  ORDER(2);
  for (int j2 = j1 + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < L; theta2++) {
      wavelet_at(j2)(plan, plan.second[(j1 * OCTAVES + j2) * L + theta2], work.second, false, work);
      write_channel(plan, image, work, order_two_channel(plan, j1, theta1, j2) + theta2, coefficients);
    }
}

// Whole images go to threads while there are as many as threads; what remains is shared path by path.
extern "C" void scatter(const Plan* plan, const float* images, float* coefficients, long count, int threads) {
  const long whole = count / threads * threads, first_paths = OCTAVES * plan->angles;
  const Planes* shared = nullptr;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Work::SIZE);
    Work work(arena);
#pragma omp for schedule(dynamic, 1)
    for (long n = 0; n < whole; n++) {
      front(*plan, n, images, coefficients, work);
      for (long i = 0; i < first_paths; i++) paths(*plan, n, i / plan->angles, i % plan->angles, work.spectrum, coefficients, work);
    }
    for (long n = whole; n < count; n++) {
#pragma omp single
      { front(*plan, n, images, coefficients, work); shared = &work.spectrum; }
#pragma omp for schedule(dynamic, 1)
      for (long i = 0; i < first_paths; i++) paths(*plan, n, i / plan->angles, i % plan->angles, *shared, coefficients, work);
    }
  }
  STAGE(outside);
}
