// What the codelets and both layouts stand on: vectors of LANES numbers, windows on lines of them, memory.
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
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

// out[i * width + c] for all outputs i and `width` neighbouring signals c; in as `extend` left it.
static inline void smooth(const Smoothing& s, const Window& window, const Vector* in, int width, Vector* out) {
  const Vector* begin = in + (window.lead + s.start) * width;
  for (int i = 0; i < s.outputs; i++) {
    int c = 0;
    for (; c + 4 <= width; c += 4) {
      Vector a{}, b{}, d{}, e{};
      const Vector* p = begin + i * s.step * width + c;
      for (int t = 0; t < s.taps; t++, p += width) {
        const float w = s.weights[t];
        a += p[0] * w; b += p[1] * w; d += p[2] * w; e += p[3] * w;
      }
      Vector* o = out + i * width + c;
      o[0] = a; o[1] = b; o[2] = d; o[3] = e;
    }
    for (; c < width; c++) {
      Vector a{}, b{};
      const Vector* p = begin + i * s.step * width + c;
      int t = 0;
      for (; t + 2 <= s.taps; t += 2, p += 2 * width) { a += p[0] * s.weights[t]; b += p[width] * s.weights[t + 1]; }
      if (t < s.taps) a += p[0] * s.weights[t];
      out[i * width + c] = a + b;
    }
  }
}

// The same for one signal: four outputs at a time, which share each weight.
static inline void smooth_one(const Smoothing& s, const Window& window, const Vector* in, Vector* out) {
  const Vector* begin = in + window.lead + s.start;
  int i = 0;
  for (; i + 4 <= s.outputs; i += 4) {
    Vector a{}, b{}, c{}, d{};
    const Vector* p = begin + i * s.step;
    const int step = s.step;
    for (int t = 0; t < s.taps; t++, p++) {
      const float w = s.weights[t];
      a += p[0] * w; b += p[step] * w; c += p[2 * step] * w; d += p[3 * step] * w;
    }
    out[i] = a; out[i + 1] = b; out[i + 2] = c; out[i + 3] = d;
  }
  for (; i < s.outputs; i++) {
    Vector a{}, b{};
    const Vector* p = begin + i * s.step;
    int t = 0;
    for (; t + 2 <= s.taps; t += 2) { a += p[t] * s.weights[t]; b += p[t + 1] * s.weights[t + 1]; }
    if (t < s.taps) a += p[t] * s.weights[t];
    out[i] = a + b;
  }
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
