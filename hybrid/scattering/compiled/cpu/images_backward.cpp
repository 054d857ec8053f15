// The gradient of the translation transform, with images as lanes.
// Gradients of one last modulus -> that of the spectrum it came from, added to `sum`.
template <int LEVEL>
static void last_wavelet(const Plan& plan, const Block& block, const Fold& f, const float* spectrum, const float* gradients, int channel,
                         float* sum, Gradient& grad) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  Work& work = grad.work;
  filter_columns<LEVEL>(f, spectrum, work);
  spread_down<LEVEL>(plan, block, gradients, channel, grad);
  Complex z[W];
  for (int y = 0; y < H; y++) {
    float* row = work.folded + (size_t)y * 2 * W * LANES;
    Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
      [&](int x, Vector re, Vector im) ALWAYS_INLINE { z[x] = Complex{re, im}; });
    const Vector* g = spread_across<LEVEL>(plan, y, grad);
    for (int x = 0; x < W; x++) z[x] = modulus_gradient(z[x].re, z[x].im, g[x]);
    Forward<W>::run([&](int x) ALWAYS_INLINE { return z[x]; },
      [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
  }
  add_columns<LEVEL>(f, work, sum, spectrum, grad.of_filters);
}

using LastWavelet = void (*)(const Plan&, const Block&, const Fold&, const float*, const float*, int, float*, Gradient&);
template <int... LEVELS> static LastWavelet last_wavelet_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const LastWavelet table[] = {last_wavelet<LEVELS>...};
  return table[level];
}

// A first-order modulus that goes on to order 2: its map is kept while the gradient of its spectrum is gathered.
template <int LEVEL>
static void inner_wavelet(const Plan& plan, const Block& block, int theta1, const float* spectrum, const float* gradients, float* sum, Gradient& grad) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  const int L = plan.angles;
  const Fold& f = plan.first[LEVEL * L + theta1];
  Work& work = grad.work;
  filter_columns<LEVEL>(f, spectrum, work);
  for (int y = 0; y < H; y++) {
    float *row = work.folded + (size_t)y * 2 * W * LANES, *kept = grad.map + (size_t)y * 2 * W * LANES;
    Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
      [&](int x, Vector re, Vector im) ALWAYS_INLINE {
        store(kept + 2 * x * LANES, re); store(kept + (2 * x + 1) * LANES, im); work.line[x] = modulus(re, im); });
    transform_line<W>(work.line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
  }
  forward_columns<H, W>(work.folded, W, work.second, HALF);
  std::memset(grad.of_second, 0, sizeof(float) * H * HALF * 2 * LANES);
  for (int j2 = LEVEL + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < L; theta2++)
      last_wavelet_at(j2, std::make_integer_sequence<int, OCTAVES>())(
          plan, block, plan.second[(LEVEL * OCTAVES + j2) * L + theta2], work.second, gradients,
          order_two_channel(plan, LEVEL, theta1, j2) + theta2, grad.of_second, grad);
  inverse_columns<H, W>(grad.of_second, work);
  spread_down<LEVEL>(plan, block, gradients, 1 + LEVEL * L + theta1, grad);
  // Rows grow from HALF to W complex numbers in the same memory: from the last to the first.
  for (int y = H - 1; y >= 0; y--) {
    const float* kept = grad.map + (size_t)y * 2 * W * LANES;
    float* row = work.folded + (size_t)y * 2 * W * LANES;
    real_row<W>(work, y, work.line);
    const Vector* g = spread_across<LEVEL>(plan, y, grad);
    Complex z[W];
    for (int x = 0; x < W; x++)
      z[x] = modulus_gradient(load(kept + 2 * x * LANES), load(kept + (2 * x + 1) * LANES), g[x] + work.line[x]);
    Forward<W>::run([&](int x) ALWAYS_INLINE { return z[x]; },
      [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
  }
  add_columns<LEVEL>(f, work, sum, spectrum, grad.of_filters);
}

using InnerWavelet = void (*)(const Plan&, const Block&, int, const float*, const float*, float*, Gradient&);
template <int... LEVELS> static InnerWavelet inner_wavelet_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const InnerWavelet table[] = {inner_wavelet<LEVELS>..., nullptr};
  return table[level];
}

// All channels that begin with (j1, theta1) -> `sum`, the gradient of the images' spectrum, if there is one.
static void path_gradients(const Plan& plan, const Block& block, int j1, int theta1, const float* spectrum, const float* gradients, float* sum,
                           Gradient& grad) {
  const int channel = 1 + j1 * plan.angles + theta1;
  if (plan.order == 2 && j1 < OCTAVES - 1)
    inner_wavelet_at(j1, std::make_integer_sequence<int, OCTAVES - 1>())(plan, block, theta1, spectrum, gradients, sum, grad);
  else
    last_wavelet_at(j1, std::make_integer_sequence<int, OCTAVES>())(
        plan, block, plan.first[j1 * plan.angles + theta1], spectrum, gradients, channel, sum, grad);
}

// weights, of_filters: null, or where the re[e] of all filters stand, and `threads` rows of `size` sums that begin as 0. of_images may be null.
// Which row a block or path adds to depends on its number alone, so that results repeat bit for bit.
extern "C" void scatter_backward(const Plan* plan, const float* images, const float* gradients, const float* weights, float* of_images,
                                 float* of_filters, long size, long count, int threads) {
  const long blocks = (count + LANES - 1) / LANES, whole = blocks / threads * threads, first_paths = OCTAVES * plan->angles;
  const long rows = of_filters ? threads : whole;
  auto block_at = [&](long n) { return Block{n * LANES, count}; };
  auto sums = [&](long row) { return OfFilters{weights, of_filters ? of_filters + row * size : nullptr}; };
  const float* spectrum = nullptr;
  float* sum = nullptr;
  std::vector<const float*> parts(threads, nullptr);  // of each thread: added up in their order
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Gradient::SIZE);
    Gradient grad(arena);
    float* own = of_images ? grad.of_spectrum : nullptr;
    parts[thread_number()] = own;
    auto clear = [&] { std::memset(grad.of_spectrum, 0, sizeof(float) * SPECTRUM); };
#pragma omp for schedule(dynamic, 1)
    for (long row = 0; row < rows; row++) {
      grad.of_filters = sums(row);
      for (long n = row; n < whole; n += rows) {
        clear();
        front(*plan, block_at(n), images, nullptr, grad.work);
        for (long i = 0; i < first_paths; i++)
          path_gradients(*plan, block_at(n), i / plan->angles, i % plan->angles, grad.work.spectrum, gradients, own, grad);
        if (own) front_gradient(*plan, block_at(n), gradients, of_images, grad);
      }
    }
    grad.of_filters = sums(thread_number());
    for (long n = whole; n < blocks; n++) {
      clear();
#pragma omp single
      { front(*plan, block_at(n), images, nullptr, grad.work); spectrum = grad.work.spectrum; sum = grad.of_spectrum; }
#pragma omp for schedule(static, 1)
      for (long i = 0; i < first_paths; i++)
        path_gradients(*plan, block_at(n), i / plan->angles, i % plan->angles, spectrum, gradients, own, grad);
#pragma omp for schedule(static)
      for (long i = 0; i < (long)SPECTRUM; i++) {
        float total = 0;
        for (const float* part : parts)
          if (part) total += part[i];
        sum[i] = total;
      }
      if (sum == own) front_gradient(*plan, block_at(n), gradients, of_images, grad);
#pragma omp barrier
    }
  }
}
