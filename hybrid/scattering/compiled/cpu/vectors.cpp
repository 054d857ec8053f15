// What the codelets and both layouts stand on: vectors of LANES numbers, windows on lines of them, memory.
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif

#define ALWAYS_INLINE __attribute__((always_inline))
#define INLINE static inline ALWAYS_INLINE
#define UNROLL
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4)));
struct Complex { Vector re, im; };
#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE(a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
typedef int Indices __attribute__((vector_size(4 * LANES)));
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (Indices){__VA_ARGS__})
#endif

static inline ALWAYS_INLINE Vector load(const float* from) { return (Vector) * (const Unaligned*)from; }
static inline ALWAYS_INLINE void store(float* to, Vector v) { *(Unaligned*)to = (Unaligned)v; }

static inline ALWAYS_INLINE Vector square_root(Vector v) {
#if defined(__AVX512F__) && LANES == 16
  return (Vector)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__) && LANES == 8
  return (Vector)_mm256_sqrt_ps((__m256)v);
#else
  for (int i = 0; i < LANES; i++) v[i] = __builtin_sqrtf(v[i]);
  return v;
#endif
}
static inline ALWAYS_INLINE Vector modulus(Vector re, Vector im) { return square_root(re * re + im * im); }

// Lane i is the sum of the lanes of v[i]; v is written over.
static inline ALWAYS_INLINE Vector lane_sums(Vector* v) {
#pragma GCC unroll 4
  for (int pairs = LANES / 2; pairs; pairs /= 2)
#pragma GCC unroll 8
    for (int i = 0; i < pairs; i++) {
      const Vector a = v[2 * i], b = v[2 * i + 1];
      v[i] = SHUFFLE(a, b, EVEN_LANES) + SHUFFLE(a, b, ODD_LANES);
    }
  return v[0];
}

static inline ALWAYS_INLINE Alias alias_at(const Fold& f, int e) { return Alias{f.offset[e], f.re[e], f.im[e]}; }

// A circular signal in a buffer: [lead copies of its end][size elements][copies of its beginning], so that no window wraps.
struct Window {
  int lead, trail;
  Window(const Smoothing& s, int size)
      : lead(s.start < 0 ? -s.start : 0), trail(s.start + s.step * (s.outputs - 1) + s.taps - size) {
    if (trail < 0) trail = 0;
  }
};
static const int LONGEST_WINDOW = 3;  // in sizes: a window is at most one turn, and begins and ends within one more

static inline void extend(Vector* buffer, const Window& window, int size, int width) {
  for (int i = 0; i < window.lead * width; i++) buffer[i] = buffer[i + size * width];
  Vector* end = buffer + (window.lead + size) * width;
  for (int i = 0; i < window.trail * width; i++) end[i] = buffer[window.lead * width + i];
}

// COUNT windowed sums, `next` vectors apart; their samples are `step` apart. A long sum is added up in parts, which halves its rounding.
template <int COUNT> static inline ALWAYS_INLINE void windows(const Smoothing& s, const Vector* in, ptrdiff_t step, ptrdiff_t next, Vector* out) {
  Vector sums[COUNT]{};
  for (int begin = 0; begin < s.taps; begin += 32) {
    Vector part[COUNT]{};
    const int end = begin + 32 < s.taps ? begin + 32 : s.taps;
    for (int t = begin; t < end; t++, in += step) {
      const float w = s.weights[t];
#pragma GCC unroll 4
      for (int c = 0; c < COUNT; c++) part[c] += in[c * next] * w;
    }
#pragma GCC unroll 4
    for (int c = 0; c < COUNT; c++) sums[c] += part[c];
  }
#pragma GCC unroll 4
  for (int c = 0; c < COUNT; c++) out[c] = sums[c];
}
// `count` of them: four at a time share each weight.
static inline void windows(const Smoothing& s, int count, const Vector* in, ptrdiff_t step, ptrdiff_t next, Vector* out) {
  int c = 0;
  for (; c + 4 <= count; c += 4) windows<4>(s, in + c * next, step, next, out + c);
  for (; c + 2 <= count; c += 2) windows<2>(s, in + c * next, step, next, out + c);
  if (c < count) windows<1>(s, in + c * next, step, next, out + c);
}

// out[i * width + c] for all outputs i and `width` neighbouring signals c; in as `extend` left it.
static inline void smooth(const Smoothing& s, const Window& window, const Vector* in, int width, Vector* out) {
  const Vector* begin = in + (window.lead + s.start) * width;
  for (int i = 0; i < s.outputs; i++) windows(s, width, begin + i * s.step * width, width, 1, out + i * width);
}

// The same for one signal.
static inline void smooth_one(const Smoothing& s, const Window& window, const Vector* in, Vector* out) {
  windows(s, s.outputs, in + window.lead + s.start, 1, s.step, out);
}

// The adjoint of extend and smooth: in[i * width + c] over all outputs -> buffer, whose [lead, lead + size) is the result.
static inline void spread(const Smoothing& s, const Window& window, int size, const Vector* in, int width, Vector* buffer) {
  const int total = window.lead + size + window.trail, begin = window.lead + s.start;
  for (int x = 0; x < total; x++) {
    const int d = x - begin;  // output i reaches x with its tap d - i * step
    const int low = d < s.taps ? 0 : (d - s.taps) / s.step + 1;
    const int high = d < 0 ? -1 : d / s.step < s.outputs ? d / s.step : s.outputs - 1;
    int c = 0;
    for (; c + 4 <= width; c += 4) {
      Vector a{}, b{}, e{}, f{};
      for (int i = low; i <= high; i++) {
        const float w = s.weights[d - i * s.step];
        const Vector* p = in + i * width + c;
        a += p[0] * w; b += p[1] * w; e += p[2] * w; f += p[3] * w;
      }
      Vector* o = buffer + x * width + c;
      o[0] = a; o[1] = b; o[2] = e; o[3] = f;
    }
    for (; c < width; c++) {
      Vector a{};
      for (int i = low; i <= high; i++) a += in[i * width + c] * s.weights[d - i * s.step];
      buffer[x * width + c] = a;
    }
  }
  for (int i = 0; i < window.lead * width; i++) buffer[i + size * width] += buffer[i];
  const Vector* end = buffer + (window.lead + size) * width;
  for (int i = 0; i < window.trail * width; i++) buffer[window.lead * width + i] += end[i];
}

struct Free { void operator()(void* p) const { std::free(p); } };
// Memory that a thread keeps between calls: fresh pages cost more than the arithmetic of a small batch.
struct Arena {
  std::unique_ptr<float, Free> memory;
  size_t capacity = 0, used = 0;
  void reserve(size_t floats) {
    used = 0;
    if (floats <= capacity) return;
    memory.reset();
    const size_t bytes = (floats * sizeof(float) + 4095) / 4096 * 4096;
    memory.reset((float*)std::aligned_alloc(4096, bytes));
    if (!memory) std::abort();
    std::memset((void*)memory.get(), 0, bytes);
    capacity = floats;
  }
  float* take(size_t floats) { float* p = memory.get() + used; used += (floats + 63) / 64 * 64; return p; }
};

static inline int order_two_channel(const Plan& plan, int j1, int theta1, int j2) {
  int channel = 1 + OCTAVES * plan.angles;
  for (int j = 0; j < j1; j++) channel += plan.angles * plan.angles * (OCTAVES - 1 - j);
  return channel + plan.angles * (theta1 * (OCTAVES - 1 - j1) + j2 - j1 - 1);
}
