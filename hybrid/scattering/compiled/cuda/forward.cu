// The passes of the forward transform, one launch each. A map's columns and rows are transformed in turn, in place.

// A row of a map -> its low-pass, COLUMNS numbers.
template <int LEVEL> INLINE void smooth_across(const Team& team, Line<WIDTH_AT(LEVEL)>& line, float* out) {
  using Window = Across<LEVEL>;
  each<WIDTH_AT(LEVEL), COLUMNS>(team, [&](int i) {
    Vector sum{};
    UNROLL
    for (int t = 0; t < Window::TAPS; t++)
      sum += line.at(WRAPPED(Window::START + STEP_AT(LEVEL) * i + t, WIDTH_AT(LEVEL))) * Window::weight(t);
    store(out + i * LANES, sum);
  });
}

// in: images -> out: the half spectra of their padded rows, also: the rows' low-pass.
template <int LEVEL> INLINE void front_rows(const Plan& plan, const Job& job) {
  const Team team(job, WIDTH);
  if (team.idle) return;
  // A lane beyond the last image repeats it.
  const int image = team.image() < job.images ? team.image() : job.images - 1;
  const float* pixels = job.in + ((size_t)image * plan.height + plan.source_row[team.line]) * plan.width;
  float* row = job.out + team.at(job, HEIGHT * WIDTH * 2) + (size_t)team.line * WIDTH * 2 * LANES;
  Line<WIDTH> line(team);
  each<WIDTH>(team, [&](int x) { line.at(x) = pixels[plan.source_column[x]]; });
  team.meet();
  real<WIDTH>(team, line, [&](int k, Vector re, Vector im) { store_complex(row, k, Complex{re, im}); });
  smooth_across<0>(team, line, job.also + team.at(job, HEIGHT * COLUMNS) + (size_t)team.line * COLUMNS * LANES);
}

// in: maps whose rows are transformed -> out: their spectra, `columns` wide. in == out if they are as wide as the maps.
template <int LEVEL> INLINE void forward_columns(const Plan& plan, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, H);
  if (team.idle) return;
  const float* from = job.in + team.at(job, H * W * 2) + (size_t)team.line * 2 * LANES;
  float* to = job.out + team.at(job, H * job.columns * 2) + (size_t)team.line * 2 * LANES;
  // Of a real map, whose half spectrum is made, column 0 has sums of rows in two parts: without the first row's mean, as lines.cpp says.
  const bool sums = team.line == 0 && job.columns < W;
  const Vector mean = sums ? load_complex(from, 0).im : Vector{};
  forward<H>(team,
    [&](int y) {
      const Complex z = load_complex(from, y * W);
      return sums ? Complex{z.re + (z.im - mean) * (float)W, Vector{}} : z; },
    [&](int y, Vector re, Vector im) { store_complex(to, y * job.columns, Complex{y ? re : re + mean * (float)(H * W), im}); });
}

// in: half spectra -> out: their products with filters, folded, the columns inverse transformed.
template <int LEVEL> INLINE void filter_columns(const Plan& plan, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, H);
  if (team.idle) return;
  const Filter f = ((const Filter*)job.table)[team.inner(job)];
  const float* spectrum = job.in + team.outer_at(job, (HEIGHT >> job.from) * HALF_OF(WIDTH >> job.from) * 2);
  float* to = job.out + team.at(job, H * W * 2) + (size_t)team.line * 2 * LANES;
  const int count = f.count[team.line], e = f.base[team.line];
  auto out = [&](int y, Vector re, Vector im) { store_complex(to, y * W, Complex{re, im}); };
  if constexpr (H <= LONGEST_STRAIGHT) {
    Complex column[H];
    switch (count) {
      case 1: fold<1, H>(f, e, 1, spectrum, column); break;
      case 2: fold<2, H>(f, e, 2, spectrum, column); break;
      case 4: fold<4, H>(f, e, 4, spectrum, column); break;
      default: fold<0, H>(f, e, count, spectrum, column);
    }
    inverse<H>(team, [&](int k) { return column[k]; }, out);
  } else {
    inverse<H>(team, [&](int k) {
      Complex z;
      fold<0, 1>(f, e + k * count, count, spectrum, &z);
      return z; }, out);
  }
}

// in place: the rows of a wavelet's map, inverse transformed. also: the low-pass of their moduli's rows. TOO: out: the moduli's half spectra.
template <int LEVEL, bool TOO> INLINE void modulus_rows(const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, W);
  if (team.idle) return;
  float* row = job.out + team.at(job, H * W * 2) + (size_t)team.line * W * 2 * LANES;
  Line<W> line(team);
  inverse<W>(team, [&](int k) { return load_complex(row, k); }, [&](int x, Vector re, Vector im) { line.at(x) = modulus(re, im); });
  if constexpr (TOO)
    real<W>(team, line, [&](int k, Vector re, Vector im) { store_complex(row, k, Complex{re, im}); });
  smooth_across<LEVEL>(team, line, job.also + team.at(job, H * COLUMNS) + (size_t)team.line * COLUMNS * LANES);
}
template <int LEVEL> INLINE void last_rows(const Plan&, const Job& job) { modulus_rows<LEVEL, false>(job); }
template <int LEVEL> INLINE void inner_rows(const Plan&, const Job& job) { modulus_rows<LEVEL, true>(job); }

// TILE neighbouring coefficients of one image.
INLINE void write_tile(float* to, const Vector* values, int count) {
  if constexpr (COLUMNS % 4 == 0) {  // as long words: every thread writes to another image's coefficients
    UNROLL
    for (int c = 0; c < TILE; c += 4)
      if (c < count) *(float4*)(to + c) = float4{values[c], values[c + 1], values[c + 2], values[c + 3]};
  } else {
    UNROLL
    for (int c = 0; c < TILE; c++)
      if (c < count) to[c] = values[c];
  }
}

// in: rows after their low-pass -> out: coefficients (image, channel, row, column), TILE of a row at a time.
template <int LEVEL> INLINE void lowpass(const Plan& plan, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL);
  using Window = Down<LEVEL>;
  const Team team(job, 1);
  if (team.idle) return;
  const int i = team.line / TILES, first = team.line % TILES * TILE, count = COLUMNS - first < TILE ? COLUMNS - first : TILE;
  const float* from = job.in + team.at(job, H * COLUMNS) + (size_t)first * LANES;
  Vector sums[TILE];
  UNROLL
  for (int c = 0; c < TILE; c++) sums[c] = 0;
  for (int t = 0; t < Window::TAPS; t++) {
    const float* row = from + (size_t)WRAPPED(Window::START + STEP_AT(LEVEL) * i + t, H) * COLUMNS * LANES;
    UNROLL
    for (int c = 0; c < TILE; c++)
      if (c < count) sums[c] += load(row + c * LANES) * Window::weight(t);
  }
  if (team.image() < job.images)
    write_tile(job.out + (((size_t)team.image() * plan.channels + team.channel(job)) * ROWS + i) * COLUMNS + first, sums, count);
}
