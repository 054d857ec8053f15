// The forward transform with images as lanes.
// spectrum * filter -> |inverse transform|, low-passed, as one channel; with `spectrum_too` its own spectrum in work.second.
template <int LEVEL>
static void wavelet(const Plan& plan, const Fold& f, const float* spectrum, bool spectrum_too, Work& work) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  const Smoothing &across = plan.horizontal[LEVEL], &down = plan.vertical[LEVEL];
  const Window row_window(across, W), column_window(down, H);
  const int columns = across.outputs;
  filter_columns<LEVEL>(f, spectrum, work);
  Vector* line = work.line + row_window.lead;
  Vector* smoothed = work.smoothed + (size_t)column_window.lead * columns;
  for (int y = 0; y < H; y++) {
    float* row = work.folded + (size_t)y * 2 * W * LANES;
    STAGE(inverse_rows);
    Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
      [&](int x, Vector re, Vector im) ALWAYS_INLINE { line[x] = modulus(re, im); });
    if constexpr (LEVEL < OCTAVES - 1) {
      if (spectrum_too) {  // its row is no longer needed
        STAGE(forward_rows);
        transform_line<W>(line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
      }
    }
    STAGE(lowpass);
    smooth_row<LEVEL>(plan, work.line, row_window, smoothed + y * columns);
  }
  smooth_columns<LEVEL>(plan, work.smoothed, column_window, (Vector*)work.out);
  if constexpr (LEVEL < OCTAVES - 1) {
    if (spectrum_too) forward_columns<H, W>(work.folded, W, work.second, HALF);
  }
}

using Wavelet = void (*)(const Plan&, const Fold&, const float*, bool, Work&);
template <int... LEVELS> static Wavelet wavelet_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Wavelet table[] = {wavelet<LEVELS>...};
  return table[level];
}
static Wavelet wavelet_at(int level) { return wavelet_at(level, std::make_integer_sequence<int, OCTAVES>()); }

// The order-1 channel (j1, theta1) and all order-2 channels that begin with it.
static void paths(const Plan& plan, const Block& block, int j1, int theta1, const float* spectrum, float* coefficients, Work& work) {
  const int L = plan.angles;
  const bool more = plan.order == 2 && j1 < OCTAVES - 1;
  ORDER(1);
  wavelet_at(j1)(plan, plan.first[j1 * L + theta1], spectrum, more, work);
  write_channel(plan, block, work, 1 + j1 * L + theta1, coefficients);
  if (!more) return;
  ORDER(2);
  for (int j2 = j1 + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < L; theta2++) {
      wavelet_at(j2)(plan, plan.second[(j1 * OCTAVES + j2) * L + theta2], work.second, false, work);
      write_channel(plan, block, work, order_two_channel(plan, j1, theta1, j2) + theta2, coefficients);
    }
}

// Whole blocks go to threads while there are as many as threads; what remains is shared path by path.
extern "C" void scatter(const Plan* plan, const float* images, float* coefficients, long count, int threads) {
  const long blocks = (count + LANES - 1) / LANES, whole = blocks / threads * threads, first_paths = OCTAVES * plan->angles;
  auto block_at = [&](long n) { return Block{n * LANES, count}; };
  float* shared = nullptr;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Work::SIZE);
    Work work(arena);
#pragma omp for schedule(dynamic, 1)
    for (long n = 0; n < whole; n++) {
      front(*plan, block_at(n), images, coefficients, work);
      for (long i = 0; i < first_paths; i++)
        paths(*plan, block_at(n), i / plan->angles, i % plan->angles, work.spectrum, coefficients, work);
    }
    for (long n = whole; n < blocks; n++) {
#pragma omp single
      { front(*plan, block_at(n), images, coefficients, work); shared = work.spectrum; }
#pragma omp for schedule(dynamic, 1)
      for (long i = 0; i < first_paths; i++)
        paths(*plan, block_at(n), i / plan->angles, i % plan->angles, shared, coefficients, work);
    }
  }
  STAGE(outside);
}
