// What every forward transform with neighbouring rows as lanes begins and ends with: the image's spectrum, and low-passed channels.

static void write_channel(const Plan& plan, long image, const Work& work, int channel, float* coefficients) {
  STAGE(output);
  const int rows = plan.vertical[0].outputs, columns = plan.horizontal[0].outputs;
  float* to = coefficients + (image * plan.channels + channel) * rows * columns;
  for (int i = 0; i < rows; i++) std::memcpy(to + i * columns, work.out + (size_t)i * ROUND(columns), sizeof(float) * columns);
}

// A line of LANES rows -> their low-pass, as rows of work.smoothed from `to` on.
template <int LEVEL> static void smooth_rows(const Plan& plan, const Window& window, Work& work, float* to) {
  const Smoothing& across = plan.horizontal[LEVEL];
  const int columns = ROUND(across.outputs);
  Vector smoothed[Work::COLUMNS];
  for (int i = across.outputs; i < columns; i++) smoothed[i] = Vector{};
  if constexpr (WIDTH_BY_TRANSFORM >> LEVEL & 1) {
    smooth_by_transform<WIDTH_AT(LEVEL), (WIDTH >> OCTAVES)>(across.gains, work.line + window.lead, 1, smoothed);
  } else {
    extend(work.line, window, WIDTH_AT(LEVEL), 1);
    smooth_one(across, window, work.line, smoothed);
  }
  transpose_out(smoothed, columns, to, columns);
}

template <int LEVEL> static void smooth_down(const Plan& plan, const Window& window, Work& work) {
  const Smoothing& down = plan.vertical[LEVEL];
  const int width = ROUND(plan.horizontal[LEVEL].outputs) / LANES;
  Vector *smoothed = (Vector*)work.smoothed, *out = (Vector*)work.out;
  if constexpr (HEIGHT_BY_TRANSFORM >> LEVEL & 1) {
    for (int c = 0; c < width; c++)
      smooth_by_transform<HEIGHT_AT(LEVEL), (HEIGHT >> OCTAVES)>(down.gains, smoothed + window.lead * width + c, width, out + c);
  } else {
    extend(smoothed, window, HEIGHT_AT(LEVEL), width);
    smooth(down, window, smoothed, width, out);
  }
}

// The image's own low-pass, and its spectrum.
static void front(const Plan& plan, long image, const float* images, float* coefficients, Work& work) {
  const Smoothing &across = plan.horizontal[0], &down = plan.vertical[0];
  const Window row_window(across, WIDTH), column_window(down, HEIGHT);
  ORDER(0);
  const int height = plan.height, width = plan.width, columns = ROUND(across.outputs);
  const float* from = images + image * height * width;
  float* rows = work.folded.im;  // the low-pass of each row of the image
  for (int y = 0; y < height; y += LANES) {
    STAGE(input);
    float* block = work.folded.re;
    for (int i = 0; i < LANES; i++)
      std::memcpy(block + (size_t)i * ROUND(WIDTH), from + (size_t)(y + i < height ? y + i : height - 1) * width, sizeof(float) * width);
    Vector pixels[ROUND(WIDTH)];
    transpose_in(block, ROUND(WIDTH), width, pixels);
    Vector* line = work.line + row_window.lead;
    for (int x = 0; x < WIDTH; x++) line[x] = pixels[plan.source_column[x]];
    STAGE(forward_rows);
    const Planes to = work.half.at(y);
    transform_line<WIDTH>(line, [&](int k, Vector re, Vector im) ALWAYS_INLINE { store(to.re + (size_t)k * ROUND(HEIGHT), re); store(to.im + (size_t)k * ROUND(HEIGHT), im); });
    STAGE(lowpass);
    smooth_rows<0>(plan, row_window, work, rows + (size_t)y * columns);
  }
  for (int y = 0; y < HEIGHT; y++)
    std::memcpy(work.smoothed + (size_t)(column_window.lead + y) * columns, rows + (size_t)plan.source_row[y] * columns, sizeof(float) * columns);
  smooth_down<0>(plan, column_window, work);
  write_channel(plan, image, work, 0, coefficients);
  transform_columns<HEIGHT, WIDTH>(work.half, plan.source_row, height, work.spectrum);
}

