// What a line of samples undergoes in both layouts.

// The half spectrum of N real samples without their mean: in the sums of the transform it would cost the other coefficients two or three
// bits. The mean stands where the imaginary part of frequency 0 would be, beside what its own rounding left over; `row_sum` adds the two.
template <int N, class Out> static ALWAYS_INLINE inline void transform_line(const Vector* in, const Out& out) {
  Vector a{}, b{};
  for (int x = 0; x + 1 < N; x += 2) { a += in[x]; b += in[x + 1]; }
  if (N % 2) a += in[N - 1];
  const Vector mean = (a + b) * (1.f / N);
  Real<N>::run([&](int x) ALWAYS_INLINE { return in[x] - mean; },
    [&](int k, Vector re, Vector im) ALWAYS_INLINE { out(k, re, k ? im : mean); });
}

// The sum of a row of N samples, from what transform_line gave for frequency 0, without N times `reference`, the mean of a row of
// the same map: sums of rows are large and alike, and what makes them differ would be rounded with them.
template <int N, class Number> static ALWAYS_INLINE inline Number row_sum(Number rest, Number mean, Number reference) {
  return rest + (mean - reference) * (float)N;
}

// The low-pass of a line of N samples in frequency: `outputs` = M - 2 * DROPPED results, `stride` vectors apart like the samples.
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
  RealInverse<M>::run(folded, [&](int q, Vector re, Vector) ALWAYS_INLINE { if (q >= DROPPED && q < M - DROPPED) out[(q - DROPPED) * stride] = re; });
}
