// The passes of the gradient. Every map is computed again rather than stored, and each pass of the forward transform is followed by its
// adjoint. The adjoint of an unnormalised inverse transform is a forward one; that of "real map -> half spectrum" is the real part of
// the inverse transform of that half. Nothing is added up by more than one thread, so results do not depend on the order of work.

INLINE void read_tile(const float* from, Vector* values, int count) {
  if constexpr (COLUMNS % 4 == 0) {
    UNROLL
    for (int c = 0; c < TILE; c += 4) {
      const float4 four = c < count ? *(const float4*)(from + c) : float4{0, 0, 0, 0};
      values[c] = four.x; values[c + 1] = four.y; values[c + 2] = four.z; values[c + 3] = four.w;
    }
  } else {
    UNROLL
    for (int c = 0; c < TILE; c++) values[c] = c < count ? from[c] : 0;
  }
}

// The adjoint of lowpass. in: gradients (image, channel, row, column) -> out: those of rows after their low-pass.
template <int LEVEL> INLINE void spread(const Plan& plan, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL);
  using Window = Down<LEVEL>;
  const Team team(job, 1);
  if (team.idle) return;
  const int y = team.line / TILES, first = team.line % TILES * TILE, count = COLUMNS - first < TILE ? COLUMNS - first : TILE;
  const int image = team.image() < job.images ? team.image() : job.images - 1;
  const float* from = job.in + ((size_t)image * plan.channels + team.channel(job)) * ROWS * COLUMNS + first;
  Vector sums[TILE];
  UNROLL
  for (int c = 0; c < TILE; c++) sums[c] = 0;
  for (int i = 0; i < ROWS; i++) {
    const int tap = WRAPPED(y - Window::START - STEP_AT(LEVEL) * i, H);
    if (tap >= Window::TAPS) continue;
    Vector values[TILE];
    read_tile(from + i * COLUMNS, values, count);
    UNROLL
    for (int c = 0; c < TILE; c++) sums[c] += values[c] * Window::weight(tap);
  }
  float* to = job.out + team.at(job, H * COLUMNS) + ((size_t)y * COLUMNS + first) * LANES;
  UNROLL
  for (int c = 0; c < TILE; c++)
    if (c < count) store(to + c * LANES, sums[c]);
}

// The adjoint of smooth_across: act(x, gradient) for every number of the row whose low-pass has the gradients at `from`.
template <int LEVEL, class Do> INLINE void spread_across(const Team& team, const float* from, const Do& act) {
  constexpr int W = WIDTH_AT(LEVEL);
  using Window = Across<LEVEL>;
  auto tap = [](int x, int i) { return WRAPPED(x - Window::START - STEP_AT(LEVEL) * i, W); };
  if constexpr (W <= LONGEST_STRAIGHT) {
    Vector values[COLUMNS];
    UNROLL
    for (int i = 0; i < COLUMNS; i++) values[i] = load(from + i * LANES);
    UNROLL
    for (int x = 0; x < W; x++) {
      Vector sum{};
      UNROLL
      for (int i = 0; i < COLUMNS; i++)
        if (tap(x, i) < Window::TAPS) sum += values[i] * Window::weight(tap(x, i));
      act(x, sum);
    }
  } else {
    each<W>(team, [&](int x) {
      Vector sum{};
      for (int i = 0; i < COLUMNS; i++)
        if (tap(x, i) < Window::TAPS) sum += load(from + i * LANES) * Window::weight(tap(x, i));
      act(x, sum);
    });
  }
}

// A line of gradients of a wavelet's map -> its transform.
template <int W> INLINE void transform_line(const Team& team, const ComplexLine<W>& line, float* row) {
  team.meet();
  forward<W>(team, [&](int x) { return line.at(x); }, [&](int k, Vector re, Vector im) { store_complex(row, k, Complex{re, im}); });
}

// in place: the rows of a wavelet's map, inverse transformed; other: the gradients of their moduli's low-pass -> the gradients, transformed.
template <int LEVEL> INLINE void last_rows_gradient(const Plan&, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, W);
  if (team.idle) return;
  float* row = job.out + team.at(job, H * W * 2) + (size_t)team.line * W * 2 * LANES;
  ComplexLine<W> line(row);
  inverse<W>(team, [&](int k) { return load_complex(row, k); }, [&](int x, Vector re, Vector im) { line.set(x, Complex{re, im}); });
  spread_across<LEVEL>(team, job.other + team.at(job, H * COLUMNS) + (size_t)team.line * COLUMNS * LANES,
    [&](int x, Vector gradient) { line.set(x, modulus_gradient(line.at(x).re, line.at(x).im, gradient)); });
  transform_line<W>(team, line, row);
}

// in place: the rows of a wavelet's map, inverse transformed -> their moduli's half spectra; also: the map itself.
template <int LEVEL> INLINE void inner_rows_kept(const Plan&, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, W);
  if (team.idle) return;
  const size_t begin = team.at(job, H * W * 2) + (size_t)team.line * W * 2 * LANES;
  float *row = job.out + begin, *kept = job.also + begin;
  Line<W> line(team);
  inverse<W>(team, [&](int k) { return load_complex(row, k); }, [&](int x, Vector re, Vector im) {
    store_complex(kept, x, Complex{re, im});
    line.at(x) = modulus(re, im);
  });
  real<W>(team, line, [&](int k, Vector re, Vector im) { store_complex(row, k, Complex{re, im}); });
}

// The adjoint of "real map -> half spectrum", its columns. in: gradients of half spectra -> out: maps, of which half rows are filled.
template <int LEVEL> INLINE void inverse_columns(const Plan&, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, H);
  if (team.idle) return;
  const float* from = job.in + team.at(job, H * HALF_OF(W) * 2) + (size_t)team.line * 2 * LANES;
  float* to = job.out + team.at(job, H * W * 2) + (size_t)team.line * 2 * LANES;
  inverse<H>(team, [&](int y) { return load_complex(from, y * HALF_OF(W)); },
    [&](int y, Vector re, Vector im) { store_complex(to, y * W, Complex{re, im}); });
}

// And a row of it.
template <int W> INLINE void real_row(const Team& team, const float* row, Line<W>& line) {
  inverse<W>(team, [&](int k) { return k < HALF_OF(W) ? load_complex(row, k) : Complex{}; },
    [&](int x, Vector re, Vector) { line.at(x) = re; });
}

// in place: half rows of the gradient of moduli; in: the maps; other: the gradients of the moduli's low-pass -> the maps' gradients, transformed.
template <int LEVEL> INLINE void inner_rows_gradient(const Plan&, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL);
  const Team team(job, W);
  if (team.idle) return;
  const size_t begin = team.at(job, H * W * 2) + (size_t)team.line * W * 2 * LANES;
  float* row = job.out + begin;
  Line<W> of_modulus(team);
  ComplexLine<W> line(row);
  real_row<W>(team, row, of_modulus);
  spread_across<LEVEL>(team, job.other + team.at(job, H * COLUMNS) + (size_t)team.line * COLUMNS * LANES, [&](int x, Vector gradient) {
    const Complex z = load_complex(job.in + begin, x);
    line.set(x, modulus_gradient(z.re, z.im, of_modulus.at(x) + gradient));
  });
  transform_line<W>(team, line, row);
}

// The adjoint of filtering and folding, element by element. in: gradients of folded products, transformed, `filters` for each outer map ->
// out: those of half spectra. An element is in a product itself, and as the conjugate that is not stored; the table has both weights for
// each of `columns` filters.
template <int LEVEL> INLINE void add_filtered(const Plan&, const Job& job) {
  constexpr int H = HEIGHT_AT(LEVEL), W = WIDTH_AT(LEVEL), HALF = HALF_OF(W);
  const Team team(job, 1);
  if (team.idle) return;
  const int y = team.line / HALF, k = team.line % HALF, h = HEIGHT >> job.from, w = WIDTH >> job.from;
  const int itself = y % h * w + k % w, conjugate = (H - y) % H % h * w + (W - k) % w;
  const float* from = job.in + team.at(job, h * w * 2) * job.filters;
  float* to = job.out + team.at(job, H * HALF * 2);
  Complex sum = job.add ? load_complex(to, team.line) : Complex{0, 0};
  const float2* weights = (const float2*)job.table + (size_t)team.line * job.columns;
  for (int f = 0; f < job.filters; f++, from += (size_t)h * w * 2 * LANES) {
    const float2 weight = weights[f];
    if (weight.x != 0) {
      const Complex z = load_complex(from, itself);
      sum.re += z.re * weight.x;
      sum.im += z.im * weight.x;
    }
    if (weight.y != 0) {
      const Complex z = load_complex(from, conjugate);
      sum.re += z.re * weight.y;
      sum.im -= z.im * weight.y;
    }
  }
  store_complex(to, team.line, sum);
}

// in place: half rows of the gradient of padded images -> that gradient, W numbers in the memory of W complex ones; other: that of their low-pass.
template <int LEVEL> INLINE void image_rows(const Plan&, const Job& job) {
  constexpr int H = HEIGHT, W = WIDTH;
  const Team team(job, W);
  if (team.idle) return;
  float* row = job.out + team.at(job, H * W * 2) + (size_t)team.line * W * 2 * LANES;
  Line<W> line(team);
  real_row<W>(team, row, line);
  spread_across<0>(team, job.other + team.at(job, H * COLUMNS) + (size_t)team.line * COLUMNS * LANES,
    [&](int x, Vector gradient) { store(row + x * LANES, line.at(x) + gradient); });
}

// The adjoint of padding. in: what image_rows left -> out: gradients (image, row, column). The padded places of row y: row_list[row_begin[y]] …
struct Positions { const int *row_begin, *row_list, *column_begin, *column_list; };
template <int LEVEL> INLINE void image_pixels(const Plan& plan, const Job& job) {
  const Team team(job, 1);
  if (team.idle || team.image() >= job.images) return;
  const Positions p = *(const Positions*)job.table;
  const float* padded = job.in + team.at(job, HEIGHT * WIDTH * 2);
  float* to = job.out + ((size_t)team.image() * plan.height + team.line) * plan.width;
  for (int x = 0; x < plan.width; x++) {
    Vector sum{};
    for (int r = p.row_begin[team.line]; r < p.row_begin[team.line + 1]; r++)
      for (int c = p.column_begin[x]; c < p.column_begin[x + 1]; c++)
        sum += load(padded + ((size_t)p.row_list[r] * WIDTH * 2 + p.column_list[c]) * LANES);
    to[x] = sum;
  }
}
