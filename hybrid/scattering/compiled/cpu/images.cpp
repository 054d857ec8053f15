// Lanes are images: every number of the algorithm is one Vector, so nothing is ever shuffled but input and output.
static constexpr size_t SPECTRUM = (size_t)HEIGHT * HALF_OF(WIDTH) * 2 * LANES, MAPS = (size_t)HEIGHT * WIDTH * 2 * LANES;

// The low-pass of row y of a map, and then down its columns.
template <int LEVEL> static void smooth_row(const Plan& plan, Vector* buffer, const Window& window, Vector* out) {
  const Smoothing& across = plan.horizontal[LEVEL];
  if constexpr (WIDTH_BY_TRANSFORM >> LEVEL & 1) {
    smooth_by_transform<WIDTH_AT(LEVEL), (WIDTH >> OCTAVES)>(across.gains, buffer + window.lead, 1, out);
  } else {
    extend(buffer, window, WIDTH_AT(LEVEL), 1);
    smooth_one(across, window, buffer, out);
  }
}
template <int LEVEL> static void smooth_columns(const Plan& plan, Vector* buffer, const Window& window, Vector* out) {
  const int columns = plan.horizontal[LEVEL].outputs;
  if constexpr (HEIGHT_BY_TRANSFORM >> LEVEL & 1) {
    for (int c = 0; c < columns; c++)
      smooth_by_transform<HEIGHT_AT(LEVEL), (HEIGHT >> OCTAVES)>(
          plan.vertical[LEVEL].gains, buffer + window.lead * columns + c, columns, out + c);
  } else {
    extend(buffer, window, HEIGHT_AT(LEVEL), columns);
    smooth(plan.vertical[LEVEL], window, buffer, columns, out);
  }
}

// What a thread works on. folded: the map between its two inverse transforms; second: the spectrum of a first-order modulus.
struct Work {
  float *spectrum, *folded, *second, *out;
  Vector *line, *smoothed;
  static constexpr size_t COLUMNS = WIDTH >> OCTAVES, OUT = LANES * ((HEIGHT >> OCTAVES) * COLUMNS + LANES);
  static constexpr size_t SIZE = 2 * SPECTRUM + MAPS + OUT + LANES * LONGEST_WINDOW * (WIDTH + HEIGHT * COLUMNS) + 1024;
  explicit Work(Arena& arena)
      : spectrum(arena.take(SPECTRUM)), folded(arena.take(MAPS)), second(arena.take(SPECTRUM)), out(arena.take(OUT)),
        line((Vector*)arena.take(LANES * LONGEST_WINDOW * WIDTH)),
        smoothed((Vector*)arena.take(LANES * LONGEST_WINDOW * HEIGHT * COLUMNS)) {}
};
static thread_local Arena arena;

// The LANES images from `first` on; a lane beyond the last image repeats it.
struct Block { long first, count; int lane(int b) const { return first + b < count ? b : (int)(count - 1 - first); } };

static void write_channel(const Plan& plan, const Block& block, const Work& work, int channel, float* coefficients) {
  STAGE(output);
  const int size = plan.vertical[0].outputs * plan.horizontal[0].outputs;
  const long images = block.count - block.first < LANES ? block.count - block.first : LANES;
  for (int i = 0; i < size; i += LANES) {
    Vector rows[LANES];
    transpose(work.out + (size_t)i * LANES, LANES, rows);
    for (long b = 0; b < images; b++) {
      float* to = coefficients + ((block.first + b) * plan.channels + channel) * size + i;
      if (i + LANES <= size) store(to, rows[b]);
      else std::memcpy(to, &rows[b], sizeof(float) * (size - i));
    }
  }
}

// Transforms `count` columns of maps of H x W samples whose rows, transformed, are `stride` complex numbers apart.
template <int H, int W> static void forward_columns(float* from, int stride, float* to, int count) {
  STAGE(forward_columns);
  const Vector mean = load(from + LANES);  // of the first row
  for (int y = 0; y < H; y++) {
    float* p = from + (size_t)y * stride * 2 * LANES;
    store(p, row_sum<W>(load(p), load(p + LANES), mean)); store(p + LANES, Vector{});
  }
  for (int k = 0; k < count; k++) {
    Forward<H>::run([&](int y) ALWAYS_INLINE {
      const float* p = from + ((size_t)y * stride + k) * 2 * LANES;
      return Complex{load(p), load(p + LANES)}; },
      [&](int y, Vector re, Vector im) ALWAYS_INLINE {
        float* p = to + ((size_t)y * count + k) * 2 * LANES;
        store(p, re); store(p + LANES, im); });
  }
  store(to, load(to) + mean * (float)(H * W));
}

// The spectrum of the padded images, and with `coefficients` their own low-pass, channel 0.
static void front(const Plan& plan, const Block& block, const float* images, float* coefficients, Work& work) {
  ORDER(0);
  STAGE(input);
  constexpr int HALF = HALF_OF(WIDTH);
  const Smoothing &across = plan.horizontal[0], &down = plan.vertical[0];
  const Window row_window(across, WIDTH), column_window(down, HEIGHT);
  const int columns = across.outputs, height = plan.height, width = plan.width;
  Vector* input = (Vector*)work.second;  // free until the first modulus
  for (int b = 0; b < LANES; b++) {
    const float* image = images + (block.first + block.lane(b)) * height * width;
    for (int i = 0; i < height * width; i++) ((float*)&input[i])[b] = image[i];
  }
  Vector* line = work.line + row_window.lead;
  Vector* smoothed = work.smoothed + (size_t)column_window.lead * columns;
  for (int y = 0; y < HEIGHT; y++) {
    STAGE(input);
    for (int x = 0; x < WIDTH; x++) line[x] = input[plan.source_row[y] * width + plan.source_column[x]];
    float* to = work.folded + (size_t)y * HALF * 2 * LANES;
    STAGE(forward_rows);
    transform_line<WIDTH>(line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(to + 2 * k * LANES, re); store(to + (2 * k + 1) * LANES, im); });
    STAGE(lowpass);
    smooth_row<0>(plan, work.line, row_window, smoothed + y * columns);
  }
  if (coefficients) {
    smooth_columns<0>(plan, work.smoothed, column_window, (Vector*)work.out);
    write_channel(plan, block, work, 0, coefficients);
  }
  forward_columns<HEIGHT, WIDTH>(work.folded, HALF, work.spectrum, HALF);
}

// spectrum * filter, folded, inverse transform of each column: work.folded[y][l].
template <int LEVEL> static void filter_columns(const Fold& f, const float* spectrum, Work& work) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  for (int l = 0; l < W; l++) {
    STAGE(filter);
    Complex column[H];
    const int e = f.base[l];
    switch (f.count[l]) {
      case 0: std::memset((void*)column, 0, sizeof column); break;
      case 1: fold<1, H>(f, e, 1, spectrum, column); break;
      case 2: fold<2, H>(f, e, 2, spectrum, column); break;
      case 3: fold<3, H>(f, e, 3, spectrum, column); break;
      default: fold<0, H>(f, e, f.count[l], spectrum, column);
    }
    float* to = work.folded + 2 * l * LANES;
    STAGE(inverse_columns);
    Inverse<H>::run([&](int k) ALWAYS_INLINE { return column[k]; },
      [&](int y, Vector re, Vector im) ALWAYS_INLINE {
        store(to + (size_t)y * 2 * W * LANES, re); store(to + ((size_t)y * 2 * W + 1) * LANES, im); });
  }
}
