// What a line of samples undergoes in both layouts.

// The half spectrum of N real samples. Their mean, by far the largest coefficient, is added last: in the sums of the transform it would
// cost the others two or three bits. So it is down the first column of a map, the sums of its rows (forward_columns, transform_columns).
template <int N, class Out> static ALWAYS_INLINE inline void transform_line(const Vector* in, const Out& out) {
  Vector a{}, b{};
  for (int x = 0; x + 1 < N; x += 2) { a += in[x]; b += in[x + 1]; }
  if (N % 2) a += in[N - 1];
  const Vector mean = (a + b) * (1.f / N);
  Real<N>::run([&](int x) ALWAYS_INLINE { return in[x] - mean; },
    [&](int k, Vector re, Vector im) ALWAYS_INLINE { out(k, k ? re : re + mean * (float)N, im); });
}

// The low-pass of a line of N samples in frequency: `outputs` = M - 2 results, `stride` vectors apart like the samples.
template <int N, int M>
static ALWAYS_INLINE inline void smooth_by_transform(const float* gains, const Vector* in, int stride, Vector* out) {
  constexpr int HALF = N / 2 + 1;
  Complex spectrum[HALF];
  Real<N>::run([&](int x) ALWAYS_INLINE { return in[x * stride]; },
    [&](int k, Vector re, Vector im) ALWAYS_INLINE { spectrum[k] = Complex{re, im}; });
  auto folded = [&](int k) ALWAYS_INLINE {
    Complex sum{spectrum[k].re * gains[k], spectrum[k].im * gains[k]};
    for (int j = k + M; j < N; j += M) {
      const Complex z = spectrum[j < HALF ? j : N - j];
      sum.re += z.re * gains[j];
      sum.im += z.im * (j < HALF ? gains[j] : -gains[j]);
    }
    return sum;
  };
  RealInverse<M>::run(folded, [&](int q, Vector re, Vector) ALWAYS_INLINE { if (q > 0 && q < M - 1) out[(q - 1) * stride] = re; });
}
