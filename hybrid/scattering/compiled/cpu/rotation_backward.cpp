// The gradient of the transform on rotations and translations, with images as lanes: every map is computed again, and each step is
// followed by its adjoint.

// The gradients of averaged moduli -> those of the waves y(theta). Wave: WAVES convolutions, of which wave w belongs to group GROUP_OF(w).
static constexpr int WAVES = JOINT ? GROUPS : 2 * GROUPS - 1;
INLINE constexpr int GROUP_OF(int wave) { return JOINT ? wave : (wave + 1) / 2; }
template <int WAVE> INLINE void wave_gradient(const Complex* spectrum, Vector gradient, Complex* of_spectrum) {
  constexpr int COUNT = WAVE == 0 ? ANGLES : PERIOD;
  const Vector each = gradient * (WAVE == 0 ? 1.f / ANGLES : .5f / ANGLES);
  Complex of_waves[PERIOD];
  Wave<WAVE>::run([&](int n) ALWAYS_INLINE { return spectrum[n]; },
    [&](int i, Vector re, Vector im) ALWAYS_INLINE { of_waves[i] = modulus_gradient(re, im, each); });
  Forward<PERIOD>::run([&](int i) ALWAYS_INLINE { return i < COUNT ? of_waves[i] : Complex{}; },
    [&](int n, Vector re, Vector im) ALWAYS_INLINE {
      of_spectrum[n].re += re * WAVE_GAINS[WAVE][n];
      of_spectrum[n].im += im * WAVE_GAINS[WAVE][n]; });
}
template <class Gradients, int... W>
INLINE void wave_gradients(const Complex* spectrum, const Gradients& g, Complex* of_spectrum, std::integer_sequence<int, W...>) {
  (wave_gradient<W>(spectrum, g(GROUP_OF(W)), of_spectrum), ...);
}
template <class In, class Gradients, class Out> INLINE void gradient_of_waves(const In& y, const Gradients& g, const Out& out) {
  Complex spectrum[PERIOD], of_spectrum[PERIOD]{}, of_waves[PERIOD];
  angular_spectrum(y, spectrum);
  wave_gradients(spectrum, g, of_spectrum, std::make_integer_sequence<int, WAVES>());
  Inverse<PERIOD>::run([&](int n) ALWAYS_INLINE { return of_spectrum[n]; },
    [&](int i, Vector re, Vector im) ALWAYS_INLINE { of_waves[i] = Complex{re, im}; });
  for (int i = 0; i < ANGLES; i++) {
    const Complex a = of_waves[i], b = of_waves[PERIOD - ANGLES + i];
    out(i, JOINT ? Complex{a.re + b.re, a.im - b.im} : a);
  }
}

// The same of ANGLES real numbers, which repeat after half a turn.
template <int K> INLINE void scale_gradient(const Complex* spectrum, Vector gradient, Complex* of_spectrum) {
  const Vector each = gradient * (1.f / ANGLES);
  Complex of_waves[ANGLES];
  Modulus<K>::run([&](int n) ALWAYS_INLINE { return spectrum[n]; },
    [&](int i, Vector re, Vector im) ALWAYS_INLINE { of_waves[i] = modulus_gradient(re, im, each); });
  Forward<ANGLES>::run([&](int i) ALWAYS_INLINE { return of_waves[i]; },
    [&](int n, Vector re, Vector im) ALWAYS_INLINE {
      of_spectrum[n].re += re * MODULUS_GAINS[K][n];
      of_spectrum[n].im += im * MODULUS_GAINS[K][n]; });
}
template <class Gradients, int... K>
INLINE void scale_gradients(const Complex* spectrum, const Gradients& g, Complex* of_spectrum, std::integer_sequence<int, K...>) {
  (scale_gradient<K>(spectrum, g(K), of_spectrum), ...);
}
template <class In, class Gradients, class Out> INLINE void gradient_of_moduli(const In& u, const Gradients& g, const Out& out) {
  Complex spectrum[ANGLES / 2 + 1], of_spectrum[ANGLES]{};
  Real<ANGLES>::run(u, [&](int n, Vector re, Vector im) ALWAYS_INLINE { spectrum[n] = Complex{re, im}; });
  scale_gradients(spectrum, g, of_spectrum, std::make_integer_sequence<int, GROUPS - 1>());
  Inverse<ANGLES>::run([&](int n) ALWAYS_INLINE { return of_spectrum[n]; }, [&](int i, Vector re, Vector) ALWAYS_INLINE { out(i, re); });
}

// What a thread works on, for every angle theta1. spectra: of first-order moduli; of_spectra: their gradients; kept: first-order maps
// before the modulus; maps: second-order maps between their inverse transforms, or low-passed moduli.
// wave: of a row, [column][theta1][re, im]. spread: a buffer of the low-pass' adjoint for each group.
struct Turning {
  static constexpr size_t MAP = MAPS / 2, STRIDE = 2 * ANGLES + 1, WAVES_OF_ROW = STRIDE * WIDTH * LANES;
  static constexpr size_t SPREAD = LANES * LONGEST_WINDOW * HEIGHT * Work::COLUMNS, LINE = LANES * LONGEST_WINDOW * WIDTH;
  static constexpr size_t SIZE = Gradient::SIZE + ANGLES * (2 * SPECTRUM + MAPS + MAP) + WAVES_OF_ROW + GROUPS * (SPREAD + LINE) + 1024;
  Gradient grad;
  float *spectra, *of_spectra, *kept, *maps, *waves, *spread, *lines, *folded;
  explicit Turning(Arena& arena)
      : grad(arena), spectra(arena.take(ANGLES * SPECTRUM)), of_spectra(arena.take(ANGLES * SPECTRUM)), kept(arena.take(ANGLES * MAPS)),
        maps(arena.take(ANGLES * MAP)), waves(arena.take(WAVES_OF_ROW)), spread(arena.take(GROUPS * SPREAD)),
        lines(arena.take(GROUPS * LINE)), folded(grad.work.folded) {}
  Vector* wave(int x) { return (Vector*)waves + x * STRIDE; }
  void use(int group) { grad.spread_rows = (Vector*)(spread + group * SPREAD); grad.of_line = (Vector*)(lines + group * LINE); }
};

template <int LEVEL> static void spread_groups(const Plan& plan, const Block& block, const float* gradients, int channel, int count, Turning& t) {
  for (int k = 0; k < count; k++) { t.use(k); spread_down<LEVEL>(plan, block, gradients, channel + k, t.grad); }
}
template <int LEVEL> static void spread_row(const Plan& plan, int y, int count, Turning& t, const Vector** rows) {
  for (int k = 0; k < count; k++) { t.use(k); rows[k] = spread_across<LEVEL>(plan, y, t.grad); }
}

// First-order maps and the spectra of their moduli, of every angle.
template <int LEVEL> static void first_order(const Plan& plan, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  Work& work = t.grad.work;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    filter_columns<LEVEL>(plan.first[LEVEL * ANGLES + theta1], work.spectrum, work);
    for (int y = 0; y < H; y++) {
      float *row = work.folded + (size_t)y * 2 * W * LANES, *kept = t.kept + theta1 * MAPS + (size_t)y * 2 * W * LANES;
      Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
        [&](int x, Vector re, Vector im) ALWAYS_INLINE {
          store(kept + 2 * x * LANES, re); store(kept + (2 * x + 1) * LANES, im); work.line[x] = modulus(re, im); });
      transform_line<W>(work.line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
    }
    forward_columns<H, W>(work.folded, W, t.spectra + theta1 * SPECTRUM, HALF);
  }
}

// The channels of the low-passed moduli -> of_spectra.
template <int LEVEL> static void angular_gradients(const Plan& plan, const Block& block, const float* gradients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  Work& work = t.grad.work;
  float* spectrum = t.grad.of_second;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    low_pass<LEVEL, false>(plan, t.spectra + theta1 * SPECTRUM, spectrum);
    inverse_columns<H, W>(spectrum, work);
    for (int y = 0; y < H; y++) real_row<W>(work, y, (Vector*)(t.maps + theta1 * Turning::MAP) + (size_t)y * W);
  }
  spread_groups<LEVEL>(plan, block, gradients, rotation_channel(LEVEL), GROUPS - 1, t);
  for (int y = 0; y < H; y++) {
    const Vector* rows[GROUPS];
    spread_row<LEVEL>(plan, y, GROUPS - 1, t, rows);
    Vector* map = (Vector*)t.maps + (size_t)y * W;
    for (int x = 0; x < W; x++)
      gradient_of_moduli([&](int i) ALWAYS_INLINE { return map[i * (Turning::MAP / LANES) + x]; }, [&](int k) ALWAYS_INLINE { return rows[k][x]; },
        [&](int i, Vector u) ALWAYS_INLINE { map[i * (Turning::MAP / LANES) + x] = u; });
  }
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    const Vector* map = (const Vector*)(t.maps + theta1 * Turning::MAP);
    for (int y = 0; y < H; y++) {
      float* row = work.folded + (size_t)y * 2 * W * LANES;
      transform_line<W>(map + (size_t)y * W, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
    }
    forward_columns<H, W>(work.folded, W, spectrum, HALF);
    low_pass<LEVEL, true>(plan, spectrum, t.of_spectra + theta1 * SPECTRUM);
  }
}

// The channels (j1, LEVEL, theta2) -> of_spectra.
template <int LEVEL>
static void wave_paths(const Plan& plan, const Block& block, int j1, int theta2, const float* gradients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  constexpr size_t MAP = (size_t)H * W * 2 * LANES;
  Work& work = t.grad.work;
  auto filter = [&](int theta1) -> const Fold& {
    return plan.second[(j1 * OCTAVES + LEVEL) * ANGLES + (JOINT ? (theta1 + theta2) % ANGLES : theta2)]; };
  auto sign = [&](int theta1) { return JOINT && theta1 + theta2 >= ANGLES ? -1.f : 1.f; };  // a wavelet half a turn further is conjugated
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    work.folded = t.maps + theta1 * MAP;
    filter_columns<LEVEL>(filter(theta1), t.spectra + theta1 * SPECTRUM, work);
  }
  spread_groups<LEVEL>(plan, block, gradients, rotation_channel(j1, LEVEL, theta2), GROUPS, t);
  for (int y = 0; y < H; y++) {
    const Vector* rows[GROUPS];
    spread_row<LEVEL>(plan, y, GROUPS, t, rows);
    for (int theta1 = 0; theta1 < ANGLES; theta1++) {
      const float *row = t.maps + theta1 * MAP + (size_t)y * 2 * W * LANES, s = sign(theta1);
      Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
        [&](int x, Vector re, Vector im) ALWAYS_INLINE { t.wave(x)[2 * theta1] = re; t.wave(x)[2 * theta1 + 1] = im * s; });
    }
    for (int x = 0; x < W; x++) {
      Vector* z = t.wave(x);
      gradient_of_waves([&](int i) ALWAYS_INLINE { return Complex{z[2 * i], z[2 * i + 1]}; }, [&](int k) ALWAYS_INLINE { return rows[k][x]; },
        [&](int i, Complex d) ALWAYS_INLINE { z[2 * i] = d.re; z[2 * i + 1] = d.im; });
    }
    for (int theta1 = 0; theta1 < ANGLES; theta1++) {
      float* row = t.maps + theta1 * MAP + (size_t)y * 2 * W * LANES;
      const float s = sign(theta1);
      Forward<W>::run([&](int x) ALWAYS_INLINE { return Complex{t.wave(x)[2 * theta1], t.wave(x)[2 * theta1 + 1] * s}; },
        [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
    }
  }
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    work.folded = t.maps + theta1 * MAP;
    add_columns<LEVEL>(filter(theta1), work, t.of_spectra + theta1 * SPECTRUM);
  }
  work.folded = t.folded;
}

using Waves = void (*)(const Plan&, const Block&, int, int, const float*, Turning&);
template <int... LEVELS> static Waves waves_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Waves table[] = {nullptr, wave_paths<1 + LEVELS>...};
  return table[level];
}

// of_spectra and the gradient of the average of first-order moduli -> grad.of_spectrum.
template <int LEVEL> static void first_gradients(const Plan& plan, const Block& block, const float* gradients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  Work& work = t.grad.work;
  spread_groups<LEVEL>(plan, block, gradients, 1 + LEVEL, 1, t);
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    inverse_columns<H, W>(t.of_spectra + theta1 * SPECTRUM, work);
    // Rows grow from HALF to W complex numbers in the same memory: from the last to the first.
    for (int y = H - 1; y >= 0; y--) {
      const float* kept = t.kept + theta1 * MAPS + (size_t)y * 2 * W * LANES;
      float* row = work.folded + (size_t)y * 2 * W * LANES;
      const Vector* g;
      spread_row<LEVEL>(plan, y, 1, t, &g);
      real_row<W>(work, y, work.line);
      Complex z[W];
      for (int x = 0; x < W; x++)
        z[x] = modulus_gradient(load(kept + 2 * x * LANES), load(kept + (2 * x + 1) * LANES), g[x] * (1.f / ANGLES) + work.line[x]);
      Forward<W>::run([&](int x) ALWAYS_INLINE { return z[x]; },
        [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
    }
    add_columns<LEVEL>(plan.first[LEVEL * ANGLES + theta1], work, t.grad.of_spectrum);
  }
}

// All channels that begin with scale j1 = LEVEL -> grad.of_spectrum.
template <int LEVEL> static void scale(const Plan& plan, const Block& block, const float* gradients, Turning& t) {
  first_order<LEVEL>(plan, t);
  std::memset(t.of_spectra, 0, sizeof(float) * ANGLES * SPECTRUM);
  angular_gradients<LEVEL>(plan, block, gradients, t);
  for (int j2 = LEVEL + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < ANGLES; theta2++)
      waves_at(j2, std::make_integer_sequence<int, OCTAVES - 1>())(plan, block, LEVEL, theta2, gradients, t);
  first_gradients<LEVEL>(plan, block, gradients, t);
}
using Scale = void (*)(const Plan&, const Block&, const float*, Turning&);
template <int... LEVELS> static Scale scale_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Scale table[] = {scale<LEVELS>...};
  return table[level];
}

extern "C" void scatter_backward(const Plan* plan, const float* images, const float* gradients, float* of_images, long count, int threads) {
  const long blocks = (count + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Turning::SIZE);
    Turning turning(arena);
#pragma omp for schedule(dynamic, 1)
    for (long n = 0; n < blocks; n++) {
      const Block block{n * LANES, count};
      std::memset(turning.grad.of_spectrum, 0, sizeof(float) * SPECTRUM);
      front(*plan, block, images, nullptr, turning.grad.work);
      for (int j1 = 0; j1 < OCTAVES; j1++)
        scale_at(j1, std::make_integer_sequence<int, OCTAVES>())(*plan, block, gradients, turning);
      turning.use(0);
      front_gradient(*plan, block, gradients, of_images, turning.grad);
    }
  }
}
