// Lanes are neighbouring columns or rows of one map, for maps too large to keep LANES of them near a core. A pass along columns works on
// LANES columns, a pass along rows on LANES rows; blocks are transposed between the two. Real and imaginary parts lie in planes.
// A spectrum is stored whole: the conjugate half is copied, because its columns run backwards.
static constexpr int ROUND(int n) { return (n + LANES - 1) / LANES * LANES; }
static constexpr int HALF_OF(int width) { return width / 2 + 1; }
static constexpr int HEIGHT_AT(int level) { return HEIGHT >> level; }
static constexpr int WIDTH_AT(int level) { return WIDTH >> level; }
static constexpr int SPECTRUM_STRIDE(int width) { return ROUND(width) + LANES; }  // tables.py knows it too
static constexpr size_t SPECTRUM = (size_t)(HEIGHT + 1) * SPECTRUM_STRIDE(WIDTH) + 2 * LANES;
static constexpr size_t MAP = (size_t)ROUND(HEIGHT) * ROUND(WIDTH), HALF_MAP = (size_t)ROUND(HALF_OF(WIDTH)) * ROUND(HEIGHT);

struct Planes {
  float *re, *im;
  Planes(Arena& arena, size_t size) : re(arena.take(size)), im(arena.take(size)) {}
  Planes at(size_t offset) const { Planes p = *this; p.re += offset; p.im += offset; return p; }
};

// folded: the map between its two inverse transforms; half: rows of real maps, transformed, [column][row].
struct Work {
  static constexpr int COLUMNS = ROUND(WIDTH >> OCTAVES), ROWS = HEIGHT >> OCTAVES;
  static constexpr size_t SMOOTHED = (size_t)(LONGEST_WINDOW * HEIGHT + LANES) * COLUMNS;
  static constexpr size_t SIZE = 4 * SPECTRUM + 2 * MAP + 2 * HALF_MAP + SMOOTHED + ROWS * COLUMNS + LONGEST_WINDOW * WIDTH * LANES + 2048;
  Planes spectrum, second, folded, half;
  float *smoothed, *out;
  Vector* line;
  explicit Work(Arena& arena)
      : spectrum(Planes(arena, SPECTRUM).at(LANES)), second(Planes(arena, SPECTRUM).at(LANES)), folded(arena, MAP), half(arena, HALF_MAP),
        smoothed(arena.take(SMOOTHED)), out(arena.take(ROWS * COLUMNS)), line((Vector*)arena.take(LONGEST_WINDOW * WIDTH * LANES)) {}
};
static thread_local Arena arena;

// LANES rows of `count` numbers -> count vectors, and the other way round.
static inline void transpose_in(const float* from, ptrdiff_t stride, int count, Vector* to) {
  for (int i = 0; i < count; i += LANES) transpose(from + i, stride, to + i);
}
static inline void transpose_out(const Vector* from, int count, float* to, ptrdiff_t stride) {
  for (int i = 0; i < count; i += LANES) {
    Vector rows[LANES];
    transpose((const float*)(from + i), LANES, rows);
    for (int j = 0; j < LANES; j++) store(to + j * stride + i, rows[j]);
  }
}

static inline Vector reversed(Vector v) { return SHUFFLE(v, v, REVERSED_LANES); }

// Columns HALF … W - 1 of the spectrum of a real map, from the others.
template <int H, int W> static void mirror(const Planes& spectrum) {
  constexpr int STRIDE = SPECTRUM_STRIDE(W);
  for (int y = 0; y < H; y++) {
    float *re = spectrum.re + (size_t)y * STRIDE, *im = spectrum.im + (size_t)y * STRIDE;
    const size_t opposite = (size_t)((H - y) % H) * STRIDE;
    Vector a[W / 2 / LANES + 1], b[W / 2 / LANES + 1];
    int n = 0;
    for (int l = HALF_OF(W); l < W; l += LANES, n++) {
      a[n] = reversed(load(spectrum.re + opposite + W - l - LANES + 1));
      b[n] = -reversed(load(spectrum.im + opposite + W - l - LANES + 1));
    }
    n = 0;
    for (int l = HALF_OF(W); l < W; l += LANES, n++) { store(re + l, a[n]); store(im + l, b[n]); }
  }
}

// work.half -> spectrum; row y of the map is row source[y] of `half` (null: the same).
template <int H, int W> static void transform_columns(const Planes& half, const int* source, int rows, const Planes& spectrum) {
  constexpr int STRIDE = SPECTRUM_STRIDE(W), HALF = HALF_OF(W);
  STAGE(forward_columns);
  const float mean = half.im[0];  // of the first row
  for (int y = 0; y < rows; y++) { half.re[y] = row_sum<W>(half.re[y], half.im[y], mean); half.im[y] = 0; }
  for (int k = 0; k < HALF; k += LANES) {
    Vector re[ROUND(H)], im[ROUND(H)];
    transpose_in(half.re + (size_t)k * ROUND(H), ROUND(H), rows, re);
    transpose_in(half.im + (size_t)k * ROUND(H), ROUND(H), rows, im);
    Forward<H>::run([&](int y) ALWAYS_INLINE { const int from = source ? source[y] : y; return Complex{re[from], im[from]}; },
      [&](int y, Vector r, Vector i) ALWAYS_INLINE {
        store(spectrum.re + (size_t)y * STRIDE + k, r); store(spectrum.im + (size_t)y * STRIDE + k, i); });
  }
  spectrum.re[0] += mean * (H * W);
  mirror<H, W>(spectrum);
}

template <int COUNT, int H> static ALWAYS_INLINE inline void fold(const Fold& f, int e, int count, const Planes& spectrum, Complex* out) {
  const int n = COUNT ? COUNT : count;
  const float* weights = f.re + (size_t)e * LANES;
  for (int k = 0; k < H; k++) {
    Vector re{}, im{};
    for (int t = 0; t < n; t++, e++, weights += LANES) {
      const Vector w = load(weights);
      re += load(spectrum.re + f.offset[e]) * w;
      im += load(spectrum.im + f.offset[e]) * w;
    }
    out[k] = Complex{re, im};
  }
}

// spectrum * filter, folded, inverse transform of each column: work.folded.
template <int LEVEL> static void filter_columns(const Fold& f, const Planes& spectrum, Work& work) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  for (int g = 0; g * LANES < W; g++) {
    STAGE(filter);
    Complex column[H];
    const int e = f.base[g];
    switch (f.count[g]) {
      case 0: std::memset((void*)column, 0, sizeof column); break;
      case 1: fold<1, H>(f, e, 1, spectrum, column); break;
      case 2: fold<2, H>(f, e, 2, spectrum, column); break;
      default: fold<0, H>(f, e, f.count[g], spectrum, column);
    }
    STAGE(inverse_columns);
    const Planes to = work.folded.at(g * LANES);
    Inverse<H>::run([&](int k) ALWAYS_INLINE { return column[k]; },
      [&](int y, Vector re, Vector im) ALWAYS_INLINE { store(to.re + (size_t)y * ROUND(W), re); store(to.im + (size_t)y * ROUND(W), im); });
  }
}
