// The angular part of scattering on rotations and translations, on vectors: what lanes are is up to the caller.
// ANGLES: L, over half a turn. PERIOD: 2L of the joint transform, whose waves are conjugated after half a turn, else L. GROUPS: the
// low-pass along the angle and the wavelets, whose moduli are averaged apart.

// The frequencies of ANGLES complex samples y(theta): as the codelets Wave take them.
template <class In> INLINE void angular_spectrum(const In& y, Complex* out) {
#if JOINT
  Complex samples[ANGLES];
  for (int i = 0; i < ANGLES; i++) samples[i] = y(i);
  Real<PERIOD>::run([&](int i) ALWAYS_INLINE {
      return i < ANGLES ? samples[i].re + samples[i].im : samples[i - ANGLES].re - samples[i - ANGLES].im; },
    [&](int n, Vector re, Vector im) ALWAYS_INLINE { out[n] = Complex{re, im}; });
#else
  Forward<PERIOD>::run(y, [&](int n, Vector re, Vector im) ALWAYS_INLINE { out[n] = Complex{re, im}; });
#endif
}

// |convolutions| of the waves y(theta), averaged over the angle: mean(group, vector) for each group.
template <int WAVE> INLINE Vector summed_moduli(const Complex* spectrum) {
  Vector even{}, odd{};
  Wave<WAVE>::run([&](int n) ALWAYS_INLINE { return spectrum[n]; },
    [&](int i, Vector re, Vector im) ALWAYS_INLINE { (i % 2 ? odd : even) += modulus(re, im); });
  return even + odd;
}
template <class Out, int... K> INLINE void average_groups(const Complex* spectrum, const Out& mean, std::integer_sequence<int, K...>) {
  mean(0, summed_moduli<0>(spectrum) * (1.f / ANGLES));
#if JOINT
  (mean(1 + K, summed_moduli<1 + K>(spectrum) * (.5f / ANGLES)), ...);
#else
  (mean(1 + K, (summed_moduli<1 + 2 * K>(spectrum) + summed_moduli<2 + 2 * K>(spectrum)) * (.5f / ANGLES)), ...);
#endif
}
template <class In, class Out> INLINE void average_waves(const In& y, const Out& mean) {
  Complex spectrum[PERIOD];
  angular_spectrum(y, spectrum);
  average_groups(spectrum, mean, std::make_integer_sequence<int, GROUPS - 1>());
}

// |convolutions| of ANGLES real numbers, which repeat after half a turn, with each wavelet, averaged: mean(scale, vector).
template <int K> INLINE Vector summed_moduli_of_moduli(const Complex* spectrum) {
  Vector even{}, odd{};
  Modulus<K>::run([&](int n) ALWAYS_INLINE { return spectrum[n]; },
    [&](int i, Vector re, Vector im) ALWAYS_INLINE { (i % 2 ? odd : even) += modulus(re, im); });
  return even + odd;
}
template <class Out, int... K> INLINE void average_scales(const Complex* spectrum, const Out& mean, std::integer_sequence<int, K...>) {
  (mean(K, summed_moduli_of_moduli<K>(spectrum) * (1.f / ANGLES)), ...);
}
template <class In, class Out> INLINE void average_moduli(const In& u, const Out& mean) {
  Complex spectrum[ANGLES / 2 + 1];
  Real<ANGLES>::run(u, [&](int n, Vector re, Vector im) ALWAYS_INLINE { spectrum[n] = Complex{re, im}; });
  average_scales(spectrum, mean, std::make_integer_sequence<int, GROUPS - 1>());
}

// The number of the first order-2 channel of scale j1: of the low-pass in space, and then of (j2, theta2).
static inline int rotation_channel(int j1) {
  int channel = 1 + OCTAVES;
  for (int j = 0; j < j1; j++) channel += GROUPS - 1 + ANGLES * GROUPS * (OCTAVES - 1 - j);
  return channel;
}
static inline int rotation_channel(int j1, int j2, int theta2) {
  return rotation_channel(j1) + GROUPS - 1 + ((j2 - j1 - 1) * ANGLES + theta2) * GROUPS;
}
