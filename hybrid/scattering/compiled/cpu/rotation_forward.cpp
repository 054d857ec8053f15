// The forward transform on rotations and translations with images as lanes.

// What a thread works on, for every angle theta1: the spectrum of a first-order modulus, and the map between two inverse transforms,
// or the low-passed modulus. sum: over theta1 of first-order moduli. wave: of a row, [column][theta1][re, im]. line, smoothed: a buffer
// for each group.
struct Turning {
  static constexpr size_t MAP = MAPS / 2, STRIDE = 2 * ANGLES + 1, WAVES_OF_ROW = STRIDE * WIDTH * LANES;
  static constexpr size_t LINE = LANES * LONGEST_WINDOW * WIDTH, SMOOTHED = LANES * LONGEST_WINDOW * HEIGHT * Work::COLUMNS;
  static constexpr size_t SIZE = Work::SIZE + ANGLES * (SPECTRUM + MAP) + MAP + WAVES_OF_ROW + GROUPS * (LINE + SMOOTHED) + 1024;
  Work work;
  float *spectra, *maps, *sum, *waves, *lines, *smoothed, *folded;
  explicit Turning(Arena& arena)
      : work(arena), spectra(arena.take(ANGLES * SPECTRUM)), maps(arena.take(ANGLES * MAP)), sum(arena.take(MAP)),
        waves(arena.take(WAVES_OF_ROW)), lines(arena.take(GROUPS * LINE)), smoothed(arena.take(GROUPS * SMOOTHED)), folded(work.folded) {}
  Vector* wave(int x) { return (Vector*)waves + x * STRIDE; }
  Vector* line(int group) { return (Vector*)(lines + group * LINE); }
};

// Low-passes the lines of `count` groups as row y; after the last row: down, as channels from `channel` on.
template <int LEVEL> static void smooth_groups(const Plan& plan, int y, int count, Turning& t) {
  const Window across(plan.horizontal[LEVEL], WIDTH_AT(LEVEL)), down(plan.vertical[LEVEL], HEIGHT_AT(LEVEL));
  for (int k = 0; k < count; k++)
    smooth_row<LEVEL>(plan, t.line(k), across, (Vector*)(t.smoothed + k * Turning::SMOOTHED) + (size_t)(down.lead + y) * plan.horizontal[LEVEL].outputs);
}
template <int LEVEL>
static void write_groups(const Plan& plan, const Block& block, int channel, int count, float* coefficients, Turning& t) {
  const Window down(plan.vertical[LEVEL], HEIGHT_AT(LEVEL));
  for (int k = 0; k < count; k++) {
    smooth_columns<LEVEL>(plan, (Vector*)(t.smoothed + k * Turning::SMOOTHED), down, (Vector*)t.work.out);
    write_channel(plan, block, t.work, channel + k, coefficients);
  }
}

// First-order moduli of every angle: their spectra, and their average as a channel.
template <int LEVEL> static void first_order(const Plan& plan, const Block& block, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  Work& work = t.work;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    filter_columns<LEVEL>(plan.first[LEVEL * ANGLES + theta1], work.spectrum, work);
    for (int y = 0; y < H; y++) {
      float* row = work.folded + (size_t)y * 2 * W * LANES;
      Vector line[W], *sum = (Vector*)t.sum + (size_t)y * W;
      Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
        [&](int x, Vector re, Vector im) ALWAYS_INLINE { line[x] = modulus(re, im); });
      for (int x = 0; x < W; x++) sum[x] = theta1 ? sum[x] + line[x] : line[x];
      transform_line<W>(line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(row + 2 * k * LANES, re); store(row + (2 * k + 1) * LANES, im); });
    }
    forward_columns<H, W>(work.folded, W, t.spectra + theta1 * SPECTRUM, HALF_OF(W));
  }
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y++) {
    const Vector* sum = (const Vector*)t.sum + (size_t)y * W;
    for (int x = 0; x < W; x++) t.line(0)[lead + x] = sum[x] * (1.f / ANGLES);
    smooth_groups<LEVEL>(plan, y, 1, t);
  }
  write_groups<LEVEL>(plan, block, 1 + LEVEL, 1, coefficients, t);
}

// Of the low-passed moduli: the transform along the angle, averaged, as a channel of each scale.
template <int LEVEL> static void angular_paths(const Plan& plan, const Block& block, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    low_pass<LEVEL, false>(plan, t.spectra + theta1 * SPECTRUM, t.work.second);
    inverse_columns<H, W>(t.work.second, t.work);
    for (int y = 0; y < H; y++) real_row<W>(t.work, y, (Vector*)(t.maps + theta1 * Turning::MAP) + (size_t)y * W);
  }
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y++) {
    const Vector* map = (const Vector*)t.maps + (size_t)y * W;
    for (int x = 0; x < W; x++)
      average_moduli([&](int i) ALWAYS_INLINE { return map[i * (Turning::MAP / LANES) + x]; },
        [&](int k, Vector mean) ALWAYS_INLINE { t.line(k)[lead + x] = mean; });
    smooth_groups<LEVEL>(plan, y, GROUPS - 1, t);
  }
  write_groups<LEVEL>(plan, block, rotation_channel(LEVEL), GROUPS - 1, coefficients, t);
}

// The channels (j1, LEVEL, theta2).
template <int LEVEL> static void wave_paths(const Plan& plan, const Block& block, int j1, int theta2, float* coefficients, Turning& t) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  constexpr size_t MAP = (size_t)H * W * 2 * LANES;
  const Fold* filters = plan.second + (j1 * OCTAVES + LEVEL) * ANGLES;
  for (int theta1 = 0; theta1 < ANGLES; theta1++) {
    t.work.folded = t.maps + theta1 * MAP;
    filter_columns<LEVEL>(filters[JOINT ? (theta1 + theta2) % ANGLES : theta2], t.spectra + theta1 * SPECTRUM, t.work);
  }
  t.work.folded = t.folded;
  const int lead = Window(plan.horizontal[LEVEL], W).lead;
  for (int y = 0; y < H; y++) {
    for (int theta1 = 0; theta1 < ANGLES; theta1++) {
      const float* row = t.maps + theta1 * MAP + (size_t)y * 2 * W * LANES;
      const float sign = JOINT && theta1 + theta2 >= ANGLES ? -1 : 1;  // half a turn further, a wavelet is conjugated
      Inverse<W>::run([&](int k) ALWAYS_INLINE { return Complex{load(row + 2 * k * LANES), load(row + (2 * k + 1) * LANES)}; },
        [&](int x, Vector re, Vector im) ALWAYS_INLINE { t.wave(x)[2 * theta1] = re; t.wave(x)[2 * theta1 + 1] = im * sign; });
    }
    for (int x = 0; x < W; x++) {
      const Vector* z = t.wave(x);
      average_waves([&](int i) ALWAYS_INLINE { return Complex{z[2 * i], z[2 * i + 1]}; },
        [&](int k, Vector mean) ALWAYS_INLINE { t.line(k)[lead + x] = mean; });
    }
    smooth_groups<LEVEL>(plan, y, GROUPS, t);
  }
  write_groups<LEVEL>(plan, block, rotation_channel(j1, LEVEL, theta2), GROUPS, coefficients, t);
}

using Waves = void (*)(const Plan&, const Block&, int, int, float*, Turning&);
template <int... LEVELS> static Waves waves_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Waves table[] = {nullptr, wave_paths<1 + LEVELS>...};
  return table[level];
}

// All channels that begin with scale j1 = LEVEL.
template <int LEVEL> static void scale(const Plan& plan, const Block& block, float* coefficients, Turning& t) {
  first_order<LEVEL>(plan, block, coefficients, t);
  angular_paths<LEVEL>(plan, block, coefficients, t);
  for (int j2 = LEVEL + 1; j2 < OCTAVES; j2++)
    for (int theta2 = 0; theta2 < ANGLES; theta2++)
      waves_at(j2, std::make_integer_sequence<int, OCTAVES - 1>())(plan, block, LEVEL, theta2, coefficients, t);
}
using Scale = void (*)(const Plan&, const Block&, float*, Turning&);
template <int... LEVELS> static Scale scale_at(int level, std::integer_sequence<int, LEVELS...>) {
  static const Scale table[] = {scale<LEVELS>...};
  return table[level];
}

extern "C" void scatter(const Plan* plan, const float* images, float* coefficients, long count, int threads) {
  const long blocks = (count + LANES - 1) / LANES;
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    arena.reserve(Turning::SIZE);
    Turning turning(arena);
#pragma omp for schedule(dynamic, 1)
    for (long n = 0; n < blocks; n++) {
      const Block block{n * LANES, count};
      front(*plan, block, images, coefficients, turning.work);
      for (int j1 = 0; j1 < OCTAVES; j1++)
        scale_at(j1, std::make_integer_sequence<int, OCTAVES>())(*plan, block, coefficients, turning);
    }
  }
}
