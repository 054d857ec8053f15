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
