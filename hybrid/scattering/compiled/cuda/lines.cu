// Lines of numbers, shared by a team or one warp's alone.

// act(x) for x < COUNT, each done by one warp of those that share a line of SIZE numbers.
template <int SIZE, int COUNT = SIZE, class Do> INLINE void each(const Team& team, const Do& act) {
  if constexpr (SIZE <= LONGEST_STRAIGHT) {
    UNROLL
    for (int x = 0; x < COUNT; x++) act(x);
  } else {
    for (int x = team.warp; x < COUNT; x += team.warps) act(x);
  }
}
// A line of real numbers: in registers, or in the team's shared memory.
template <int SIZE, bool ALONE = (SIZE <= LONGEST_STRAIGHT)> struct Line {
  Vector numbers[SIZE];
  __device__ explicit Line(const Team&) {}
  __device__ Vector& at(int x) { return numbers[x]; }
};
template <int SIZE> struct Line<SIZE, false> {
  float* numbers;
  __device__ explicit Line(const Team& team) : numbers(team.kept + threadIdx.x) {}
  __device__ Vector& at(int x) { return numbers[x * LANES]; }
};
// A line of complex numbers that belongs to `row`: in registers, or there, which leaves shared memory to more teams.
template <int SIZE, bool ALONE = (SIZE <= LONGEST_STRAIGHT)> struct ComplexLine {
  Complex numbers[SIZE];
  __device__ explicit ComplexLine(float*) {}
  __device__ Complex at(int x) const { return numbers[x]; }
  __device__ void set(int x, Complex z) { numbers[x] = z; }
};
template <int SIZE> struct ComplexLine<SIZE, false> {
  float* row;
  __device__ explicit ComplexLine(float* row_) : row(row_) {}
  __device__ Complex at(int x) const { return load_complex(row, x); }
  __device__ void set(int x, Complex z) { store_complex(row, x, z); }
};

template <int SIZE, class In, class Out> INLINE void forward(const Team& team, const In& in, const Out& out) {
  if constexpr (SIZE <= LONGEST_STRAIGHT) Forward<SIZE>::run(in, out);
  else Forward<SIZE>::run(team, in, out);
}
template <int SIZE, class In, class Out> INLINE void inverse(const Team& team, const In& in, const Out& out) {
  if constexpr (SIZE <= LONGEST_STRAIGHT) Inverse<SIZE>::run(in, out);
  else Inverse<SIZE>::run(team, in, out);
}
// The half spectrum of real samples without their mean, which stands where the imaginary part of frequency 0 would be (lines.cpp says why).
template <int SIZE, class Out> INLINE void real(const Team& team, Line<SIZE>& line, const Out& out) {
  Vector a{}, b{};
  UNROLL
  for (int x = 0; x + 1 < SIZE; x += 2) { a += line.at(x); b += line.at(x + 1); }
  if (SIZE % 2) a += line.at(SIZE - 1);
  const Vector mean = (a + b) * (1.f / SIZE);
  auto in = [&](int x) { return line.at(x) - mean; };
  auto with_mean = [&](int k, Vector re, Vector im) { out(k, re, k ? im : mean); };
  if constexpr (SIZE <= LONGEST_STRAIGHT) Real<SIZE>::run(in, with_mean);
  else Real<SIZE>::run(team, in, with_mean);
}

// The low-pass has ROWS x COLUMNS outputs at every level, STEP_AT(level) samples apart.
static constexpr int ROWS = (HEIGHT >> OCTAVES) - 2 * DROPPED, COLUMNS = (WIDTH >> OCTAVES) - 2 * DROPPED;
static constexpr int TILE = COLUMNS < 8 ? COLUMNS : 8;
static constexpr int TILES = (COLUMNS + TILE - 1) / TILE;
INLINE constexpr int STEP_AT(int level) { return 1 << (OCTAVES - level); }
INLINE constexpr int WRAPPED(int x, int size) { return x < 0 ? x + size : x < size ? x : x - size; }

// No least number of blocks: asking for two makes the compiler spill what fold has loaded ahead.
#define KERNEL(NAME, LEVEL) \
  extern "C" __global__ void __launch_bounds__(LARGEST_TEAM * LANES) NAME##_##LEVEL(const Plan plan, const Job job) { NAME<LEVEL>(plan, job); }
