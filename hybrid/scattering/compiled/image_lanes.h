// What engines whose lanes are images have in common: on a CPU a Vector is LANES images, on a GPU one of a warp's LANES.
// A spectrum of a real map holds the columns kx <= width / 2; the tables of Fold know which elements are conjugates.
INLINE constexpr int HALF_OF(int width) { return width / 2 + 1; }
INLINE constexpr int HEIGHT_AT(int level) { return HEIGHT >> level; }
INLINE constexpr int WIDTH_AT(int level) { return WIDTH >> level; }

// H elements of a column of the folded product, each a sum over `count` aliases, from entry e of a filter on. COUNT: the count, 0 where it
// is not constant.
template <int COUNT, int H, class Filter> INLINE void fold(const Filter& f, int e, int count, const float* spectrum, Complex* out) {
  const int n = COUNT ? COUNT : count;
  UNROLL
  for (int k = 0; k < H; k++) {
    Vector re{}, im{};
    for (int t = 0; t < n; t++, e++) {
      const Alias a = alias_at(f, e);
      const float* p = spectrum + a.offset;
      re += load(p) * a.re;
      im += load(p + LANES) * a.im;
    }
    out[k] = Complex{re, im};
  }
}

// z / |z|, times the gradient of |z|; 0 where z is 0.
INLINE Complex modulus_gradient(Vector re, Vector im, Vector gradient) {
  const Vector m = modulus(re, im);
  const Vector scale = m == 0 ? Vector{} : gradient / m;
  return Complex{re * scale, im * scale};
}
