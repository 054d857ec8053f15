// The gradient with respect to the images and the filters, with images as lanes: every map is computed again rather than stored, and
// each step of the forward transform is followed by its adjoint. The adjoint of an unnormalised inverse transform is a forward one; that
// of "real map -> half spectrum" is the real part of the inverse transform of that half.

// Where the gradients with respect to the filters are summed: that of a Fold's re[e] stands as far from `sums` as it from `weights`.
struct OfFilters { const float* weights; float* sums; };

struct Gradient {
  Work work;
  OfFilters of_filters{};
  float *of_spectrum, *of_second, *map;  // map: a first-order map before its modulus
  Vector *spread_rows, *of_line;
  static constexpr size_t SIZE = Work::SIZE + 2 * SPECTRUM + MAPS + LANES * LONGEST_WINDOW * (WIDTH + HEIGHT * Work::COLUMNS) + 1024;
  explicit Gradient(Arena& arena)
      : work(arena), of_spectrum(arena.take(SPECTRUM)), of_second(arena.take(SPECTRUM)), map(arena.take(MAPS)),
        spread_rows((Vector*)arena.take(LANES * LONGEST_WINDOW * HEIGHT * Work::COLUMNS)),
        of_line((Vector*)arena.take(LANES * LONGEST_WINDOW * WIDTH)) {}
};

static void read_channel(const Plan& plan, const Block& block, const float* gradients, int channel, float* out) {
  const int size = plan.vertical[0].outputs * plan.horizontal[0].outputs;
  for (int i = 0; i < size; i += LANES) {
    float rows[LANES * LANES];
    for (int b = 0; b < LANES; b++) {
      const float* from = gradients + ((block.first + b) * plan.channels + channel) * size + i;
      if (block.first + b < block.count) std::memcpy(rows + b * LANES, from, sizeof(float) * (i + LANES <= size ? LANES : size - i));
      else std::memset(rows + b * LANES, 0, sizeof(float) * LANES);  // it repeats an image that already counts
    }
    transpose(rows, LANES, (Vector*)(out + (size_t)i * LANES));
  }
}

// The adjoint of a channel's low-pass, down its columns: grad.spread_rows.
template <int LEVEL> static void spread_down(const Plan& plan, const Block& block, const float* gradients, int channel, Gradient& grad) {
  constexpr int H = HEIGHT_AT(LEVEL);
  const Window window(plan.vertical[LEVEL], H);
  read_channel(plan, block, gradients, channel, grad.work.out);
  spread(plan.vertical[LEVEL], window, H, (Vector*)grad.work.out, plan.horizontal[LEVEL].outputs, grad.spread_rows);
}

// And along row y: the result begins at the returned place.
template <int LEVEL> static const Vector* spread_across(const Plan& plan, int y, Gradient& grad) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Window down(plan.vertical[LEVEL], H), across(plan.horizontal[LEVEL], W);
  const int columns = plan.horizontal[LEVEL].outputs;
  spread(plan.horizontal[LEVEL], across, W, grad.spread_rows + (size_t)(down.lead + y) * columns, 1, grad.of_line);
  return grad.of_line + across.lead;
}

// Adds the gradient of a column's weights, from entry e on. column: the gradient of its folded product, `count` weights an element.
// COUNT: the count, 0 where it is not constant.
template <int COUNT, int H> static void add_to_filter(const Fold& f, int e, int count, const Complex* column, const float* spectrum, OfFilters to) {
  const int each = COUNT ? COUNT : count, weights = H * each;
  float* sums = to.sums + (f.re - to.weights) + e;
  Vector products[LANES];
  for (int i = 0; i < weights; i += LANES) {
    const int most = weights - i < LANES ? weights - i : LANES;
    for (int b = 0; b < most; b++) {
      const Complex g = column[(i + b) / each];
      const float* x = spectrum + f.offset[e + i + b];
      products[b] = g.re * load(x) + g.im * load(x + LANES) * f.sign[e + i + b];
    }
    for (int b = most; b < LANES; b++) products[b] = Vector{};
    const Vector total = lane_sums(products);
    for (int b = 0; b < most; b++) sums[i + b] += total[b];
  }
}

// work.folded holds the gradient of a wavelet's map, its rows transformed: add that of the spectrum to `sum`, and that of the filter
// to its sums; both where there are any.
template <int LEVEL>
static void add_columns(const Fold& f, const Work& work, float* sum, const float* spectrum = nullptr, OfFilters of_filters = {}) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  for (int l = 0; l < W; l++) {
    const int count = f.count[l], e = f.base[l];
    if (!count) continue;
    const float* from = work.folded + 2 * l * LANES;
    Complex column[H];
    Forward<H>::run([&](int y) ALWAYS_INLINE { const float* p = from + (size_t)y * 2 * W * LANES; return Complex{load(p), load(p + LANES)}; },
      [&](int k, Vector re, Vector im) ALWAYS_INLINE { column[k] = Complex{re, im}; });
    if (of_filters.sums) {
      if (count == 1) add_to_filter<1, H>(f, e, count, column, spectrum, of_filters);
      else if (count == 4) add_to_filter<4, H>(f, e, count, column, spectrum, of_filters);
      else add_to_filter<0, H>(f, e, count, column, spectrum, of_filters);
    }
    if (!sum) continue;
    for (int k = 0; k < H; k++)
      for (int t = e + k * count; t < e + (k + 1) * count; t++) {
        float* p = sum + f.offset[t];
        store(p, load(p) + column[k].re * f.re[t]);
        store(p + LANES, load(p + LANES) + column[k].im * f.im[t]);
      }
  }
}

// The adjoint of "real map -> half spectrum", first step: columns of `spectrum` -> work.folded, rows HALF complex numbers long.
template <int H, int W> static void inverse_columns(const float* spectrum, Work& work) {
  constexpr int HALF = HALF_OF(W);
  for (int k = 0; k < HALF; k++) {
    const float* from = spectrum + 2 * k * LANES;
    float* to = work.folded + 2 * k * LANES;
    Inverse<H>::run([&](int y) ALWAYS_INLINE { const float* p = from + (size_t)y * 2 * HALF * LANES; return Complex{load(p), load(p + LANES)}; },
      [&](int y, Vector re, Vector im) ALWAYS_INLINE { float* p = to + (size_t)y * 2 * HALF * LANES; store(p, re); store(p + LANES, im); });
  }
}

// Second step, for row y.
template <int W> static void real_row(const Work& work, int y, Vector* line) {
  constexpr int HALF = HALF_OF(W);
  const float* row = work.folded + (size_t)y * 2 * HALF * LANES;
  Inverse<W>::run([&](int k) ALWAYS_INLINE {
      return k < HALF ? Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)} : Complex{}; },
    [&](int x, Vector re, Vector) ALWAYS_INLINE { line[x] = re; });
}

// The adjoint of front: the gradient of the padded images, added up over the pixels that padding repeats.
static void front_gradient(const Plan& plan, const Block& block, const float* gradients, float* of_images, Gradient& grad) {
  const int height = plan.height, width = plan.width;
  Work& work = grad.work;
  inverse_columns<HEIGHT, WIDTH>(grad.of_spectrum, work);
  spread_down<0>(plan, block, gradients, 0, grad);
  Vector* sum = (Vector*)grad.map;
  std::memset((void*)sum, 0, sizeof(Vector) * height * width);
  for (int y = 0; y < HEIGHT; y++) {
    real_row<WIDTH>(work, y, work.line);
    const Vector* g = spread_across<0>(plan, y, grad);
    Vector* to = sum + plan.source_row[y] * width;
    for (int x = 0; x < WIDTH; x++) to[plan.source_column[x]] += work.line[x] + g[x];
  }
  for (int b = 0; b < LANES && block.first + b < block.count; b++) {
    float* image = of_images + (block.first + b) * height * width;
    for (int i = 0; i < height * width; i++) image[i] = ((const float*)&sum[i])[b];
  }
}

#ifdef _OPENMP
static int thread_number() { return omp_get_thread_num(); }
#else
static int thread_number() { return 0; }
#endif
