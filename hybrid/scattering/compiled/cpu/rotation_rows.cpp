// The forward transform on rotations and translations with neighbouring rows as lanes.

// What a thread works on, for every angle theta1: the spectrum of a first-order modulus, and the map between two inverse transforms.
// sum: over theta1 of first-order moduli. waves: of LANES rows, [column][theta1][re, im]. lines, smoothed: a buffer for each group.
struct Turning {
  static constexpr size_t LINE = LONGEST_WINDOW * WIDTH * LANES, STRIDE = 2 * ANGLES + 1, WAVES = STRIDE * ROUND(WIDTH) * LANES;
  static constexpr size_t SIZE = Work::SIZE + 2 * ANGLES * (SPECTRUM + MAP) + MAP + WAVES + GROUPS * (LINE + Work::SMOOTHED) + 1024;
  Work work;
  Planes spectra, maps;
  float *sum, *waves, *lines, *smoothed;
  explicit Turning(Arena& arena)
      : work(arena), spectra(arena, ANGLES * SPECTRUM), maps(arena, ANGLES * MAP), sum(arena.take(MAP)), waves(arena.take(WAVES)),
        lines(arena.take(GROUPS * LINE)), smoothed(arena.take(GROUPS * Work::SMOOTHED)) {}
  Planes spectrum(int theta1) const { return spectra.at(theta1 * SPECTRUM + LANES); }
  Vector* wave(int x) { return (Vector*)waves + x * STRIDE; }
  void use(int group) { work.line = (Vector*)(lines + group * LINE); work.smoothed = smoothed + group * Work::SMOOTHED; }
};

// LANES rows of a map between its two inverse transforms, from row y on -> out(x, re, im).
template <int W, class Out> INLINE void inverse_rows(const Planes& map, int y, const Out& out) {
  constexpr int STRIDE = ROUND(W);
  Vector re[STRIDE], im[STRIDE];
  transpose_in(map.re + (size_t)y * STRIDE, STRIDE, W, re);
  transpose_in(map.im + (size_t)y * STRIDE, STRIDE, W, im);
  Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{re[k], im[k]}; }, out);
}

// Low-passes the lines of `count` groups as rows from y on; after the last rows: down, as channels from `channel` on.
template <int LEVEL> static void smooth_groups(const Plan& plan, int y, int count, Turning& t) {
  const Window across(plan.horizontal[LEVEL], WIDTH_AT(LEVEL)), down(plan.vertical[LEVEL], HEIGHT_AT(LEVEL));
  const int columns = ROUND(plan.horizontal[LEVEL].outputs);
  STAGE(lowpass);
  for (int k = 0; k < count; k++) {
    t.use(k);
    smooth_rows<LEVEL>(plan, across, t.work, t.work.smoothed + (size_t)(down.lead + y) * columns);
  }
}
template <int LEVEL> static void write_groups(const Plan& plan, long image, int channel, int count, float* coefficients, Turning& t) {
  const Window down(plan.vertical[LEVEL], HEIGHT_AT(LEVEL));
  for (int k = 0; k < count; k++) {
    t.use(k);
    smooth_down<LEVEL>(plan, down, t.work);
    write_channel(plan, image, t.work, channel + k, coefficients);
  }
}

// First-order moduli of every angle: their spectra, and their average as a channel.
template <int LEVEL> static void first_order(const Plan& plan, long image, const Planes& spectrum, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  Work& work = t.work;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    filter_columns<LEVEL>(plan.first[LEVEL * ANGLES + theta1], spectrum, work);
    for (int y = 0; y < H; y += LANES) {
      STAGE(inverse_rows);
      Vector* sum = (Vector*)t.sum + (size_t)(y / LANES) * W;
      Vector line[W];
      inverse_rows<W>(work.folded, y, [&](int x, Vector re, Vector im) ALWAYS_INLINE { line[x] = modulus(re, im); });
      for (int x = 0; x < W; x++) sum[x] = theta1 ? sum[x] + line[x] : line[x];
      STAGE(forward_rows);
      const Planes to = work.half.at(y);
      transform_line<W>(line, [&](int k, Vector r, Vector i) ALWAYS_INLINE { store(to.re + (size_t)k * ROUND(H), r); store(to.im + (size_t)k * ROUND(H), i); });
    }
    transform_columns<H, W>(work.half, nullptr, H, t.spectrum(theta1));
  }
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y += LANES) {
    const Vector* sum = (Vector*)t.sum + (size_t)(y / LANES) * W;
    for (int x = 0; x < W; x++) ((Vector*)t.lines)[lead + x] = sum[x] * (1.f / ANGLES);
    smooth_groups<LEVEL>(plan, y, 1, t);
  }
  write_groups<LEVEL>(plan, image, 1 + LEVEL, 1, coefficients, t);
}

// The low-passed moduli of two angles as one complex map between its two inverse transforms. Columns [zero_from, zero_to) are zero.
template <int LEVEL> static void low_columns(const Plan& plan, const Planes& a, const Planes* b, const Planes& map, int zero_from, int zero_to) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), STRIDE = SPECTRUM_STRIDE(W);
  const float *across = plan.horizontal[LEVEL].gains, *down = plan.vertical[LEVEL].gains;
  for (int l = 0; l < W; l += LANES) {
    if (l >= zero_from && l + LANES <= zero_to) continue;
    float row[LANES];
    for (int i = 0; i < LANES; i++) row[i] = l + i < W ? across[l + i] : 0;
    const Vector gains = load(row);
    Complex column[H];
    for (int k = 0; k < H; k++) {
      const size_t at = (size_t)k * STRIDE + l;
      const Vector gain = gains * down[k];
      const Vector re = load(a.re + at), im = load(a.im + at);
      column[k] = b ? Complex{(re - load(b->im + at)) * gain, (im + load(b->re + at)) * gain} : Complex{re * gain, im * gain};
    }
    Inverse<H>::run([&](int k) ALWAYS_INLINE { return column[k]; },
      [&](int y, Vector re, Vector im) ALWAYS_INLINE { store(map.re + (size_t)y * ROUND(W) + l, re); store(map.im + (size_t)y * ROUND(W) + l, im); });
  }
}

// Of the low-passed moduli: the transform along the angle, averaged, as a channel of each scale.
template <int LEVEL> static void angular_paths(const Plan& plan, long image, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), PAIRS = (ANGLES + 1) / 2;
  const float* gains = plan.horizontal[LEVEL].gains;
  float largest = 0;
  for (int k = 0; k < W; k++) largest = std::fmax(largest, std::fabs(gains[k]));
  int zero_from = W / 2, zero_to = W / 2;
  while (zero_from > 0 && std::fabs(gains[zero_from - 1]) < NEGLIGIBLE * largest) zero_from--;
  while (zero_to < W && std::fabs(gains[zero_to]) < NEGLIGIBLE * largest) zero_to++;
  for (int p = 0; p < PAIRS; p++) {
    const Planes other = t.spectrum(p + PAIRS < ANGLES ? p + PAIRS : 0);
    low_columns<LEVEL>(plan, t.spectrum(p), p + PAIRS < ANGLES ? &other : nullptr, t.maps.at(p * MAP), zero_from, zero_to);
  }
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y += LANES) {
    for (int p = 0; p < PAIRS; p++) {
      constexpr int STRIDE = ROUND(W);
      Vector re[STRIDE], im[STRIDE];
      for (int l = 0; l < W; l += LANES) {
        if (l >= zero_from && l + LANES <= zero_to) {
          for (int i = 0; i < LANES; i++) re[l + i] = im[l + i] = Vector{};
        } else {
          const Planes from = t.maps.at(p * MAP + (size_t)y * STRIDE + l);
          transpose(from.re, STRIDE, re + l);
          transpose(from.im, STRIDE, im + l);
        }
      }
      Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{re[k], im[k]}; },
        [&](int x, Vector r, Vector i) ALWAYS_INLINE { t.wave(x)[p] = r; t.wave(x)[p + PAIRS] = i; });
    }
    for (int x = 0; x < W; x++) {
      const Vector* u = t.wave(x);
      average_moduli([&](int i) ALWAYS_INLINE { return u[i]; },
        [&](int k, Vector mean) ALWAYS_INLINE { ((Vector*)(t.lines + k * Turning::LINE))[lead + x] = mean; });
    }
    smooth_groups<LEVEL>(plan, y, GROUPS - 1, t);
  }
  write_groups<LEVEL>(plan, image, rotation_channel(LEVEL), GROUPS - 1, coefficients, t);
}

// The channels (j1, LEVEL, theta2).
template <int LEVEL> static void wave_paths(const Plan& plan, long image, int j1, int theta2, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Fold* filters = plan.second + (j1 * OCTAVES + LEVEL) * ANGLES;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    t.work.folded = t.maps.at(theta1 * MAP);
    filter_columns<LEVEL>(filters[JOINT ? (theta1 + theta2) % ANGLES : theta2], t.spectrum(theta1), t.work);
  }
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y += LANES) {
    STAGE(inverse_rows);
    for (int theta1 = 0; theta1 < ANGLES; theta1++) {
      const float sign = JOINT && theta1 + theta2 >= ANGLES ? -1 : 1;  // half a turn further, a wavelet is conjugated
      inverse_rows<W>(t.maps.at(theta1 * MAP), y, [&](int x, Vector re, Vector im) ALWAYS_INLINE {
        t.wave(x)[2 * theta1] = re; t.wave(x)[2 * theta1 + 1] = im * sign; });
    }
    STAGE(angular);
    for (int x = 0; x < W; x++) {
      const Vector* z = t.wave(x);
      average_waves([&](int i) ALWAYS_INLINE { return Complex{z[2 * i], z[2 * i + 1]}; },
        [&](int k, Vector mean) ALWAYS_INLINE { ((Vector*)(t.lines + k * Turning::LINE))[lead + x] = mean; });
    }
    smooth_groups<LEVEL>(plan, y, GROUPS, t);
  }
  write_groups<LEVEL>(plan, image, rotation_channel(j1, LEVEL, theta2), GROUPS, coefficients, t);
}

template <int LEVEL> static void scale(const Plan& plan, long image, const Planes& spectrum, float* coefficients, Turning& t);
using Scale = void (*)(const Plan&, long, const Planes&, float*, Turning&);
using Waves = void (*)(const Plan&, long, int, int, float*, Turning&);
template <int... LEVELS> static Waves waves_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Waves table[] = {nullptr, wave_paths<1 + LEVELS>...};
  return table[level];
}

// All channels that begin with scale j1 = LEVEL.
template <int LEVEL> static void scale(const Plan& plan, long image, const Planes& spectrum, float* coefficients, Turning& t) {
  t.work.folded = t.maps;
  ORDER(1);
  first_order<LEVEL>(plan, image, spectrum, coefficients, t);
  ORDER(2);
  angular_paths<LEVEL>(plan, image, coefficients, t);
  for (int j2 = LEVEL + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < ANGLES; theta2++)
      waves_at(j2, std::make_integer_sequence<int, OCTAVES - 1>())(plan, image, LEVEL, theta2, coefficients, t);
}
template <int... LEVELS> static Scale scale_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Scale table[] = {scale<LEVELS>...};
  return table[level];
}

extern "C" void scatter(const Plan* plan, const float* images, float* coefficients, long count, int threads) {
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Turning::SIZE);
    Turning turning(arena);
    const Planes folded = turning.work.folded;
#pragma omp for schedule(dynamic, 1)
    for (long n = 0; n < count; n++) {
      turning.work.folded = folded;
      turning.use(0);
      front(*plan, n, images, coefficients, turning.work);
      for (int j1 = 0; j1 < OCTAVES; j1++)
        scale_at(j1, std::make_integer_sequence<int, OCTAVES>())(*plan, n, turning.work.spectrum, coefficients, turning);
    }
  }
  STAGE(outside);
}
