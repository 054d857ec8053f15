// What the transform on rotations and translations has in both directions, with images as lanes.

// to += or = half spectrum * low-pass, so that the real part of the inverse transform of the half alone is the low-passed map.
template <int LEVEL, bool ADD> static void low_pass(const Plan& plan, const float* from, float* to) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  for (int y = 0; y < H; y++)
    for (int k = 0; k < HALF; k++) {
      const float gain = plan.vertical[LEVEL].gains[y] * plan.horizontal[LEVEL].gains[k] * (2 * k % W ? 2 : 1);
      for (int part = 0; part < 2; part++) {
        const size_t at = (((size_t)y * HALF + k) * 2 + part) * LANES;
        store(to + at, ADD ? load(to + at) + load(from + at) * gain : load(from + at) * gain);
      }
    }
}
