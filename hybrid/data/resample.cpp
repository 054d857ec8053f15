// Pillow's antialiased resizing of colour images, bit for bit, with as many pixels at a time as a register holds.
//
// A row or a column is resized as a weighted sum: the weights are real numbers times 2^22, rounded, the sum is rounded to a
// whole number and clipped to 0..255. Columns come first, and then rows, each rounded by itself. `resampling.py` explains the
// arguments, and compares the results with Pillow's before the first use.
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif

namespace {

const int BITS = 22, LANES = 16, SUMS = 2, ROWS = 4 * SUMS;  // so many rows at a time, where columns are resized
typedef int32_t Sum __attribute__((vector_size(4 * LANES)));
typedef int16_t Shorts __attribute__((vector_size(2 * LANES)));  // a step between the two, which compilers convert well
typedef uint8_t Bytes __attribute__((vector_size(LANES)));
#define INLINE static inline __attribute__((always_inline))

INLINE Sum load(const uint8_t* from) {
#if defined(__AVX512F__)
  return (Sum)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)from));
#else
  Bytes bytes;
  std::memcpy(&bytes, from, LANES);
  return __builtin_convertvector(__builtin_convertvector(bytes, Shorts), Sum);
#endif
}

// Numbers of 0 to 255.
INLINE void pack(Sum values, uint8_t* to) {
#if defined(__AVX512F__)
  _mm_storeu_si128((__m128i*)to, _mm512_cvtepi32_epi8((__m512i)values));
#else
  const Bytes bytes = __builtin_convertvector(__builtin_convertvector(values, Shorts), Bytes);
  std::memcpy(to, &bytes, LANES);
#endif
}

INLINE void store(Sum sum, uint8_t* to) {
  sum >>= BITS;
  sum = sum < 0 ? Sum{} : sum;
  pack(sum > 255 ? 255 + Sum{} : sum, to);
}

const Sum HALF = (1 << (BITS - 1)) + Sum{};

// The source pixels that each output pixel of one axis is made of, and their weights.
struct Axis {
  std::vector<int32_t> first, count, weights;
  long room = 0, taps = 0;  // places for weights of an output pixel; the most that one has, and the others are 0

  long begin() const { return first.front(); }
  long end() const { return first.back() + taps; }

  // Every output pixel is made of `taps` source pixels from now on, none of them behind the last that counts.
  void align() {
    const long behind = first.back() + count.back();
    for (size_t i = 0; i < first.size(); i++) {
      const long over = first[i] + taps - behind;
      if (over <= 0) continue;
      int32_t* own = weights.data() + i * room;
      std::memmove(own + over, own, (taps - over) * sizeof(int32_t));
      std::memset(own, 0, over * sizeof(int32_t));
      first[i] -= over;
    }
  }
};

// A product and a sum must stay two roundings here, as in Pillow.
#if defined(__clang__)
#pragma clang fp contract(off)
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
double weight(double x, bool cubic) {
  x = x < 0 ? -x : x;
  if (!cubic) return x < 1 ? 1 - x : 0;
  if (x < 1) return ((-0.5 + 2) * x - (-0.5 + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * -0.5 : 0;
}

// Output pixels `from` to below `from + kept` of the `size` pixels that the part `begin`..`end` of an axis becomes.
void measure(Axis& axis, long length, float begin, float end, long size, long from, long kept, bool cubic) {
  const double scale = (double)(end - begin) / size, wide = scale < 1 ? 1 : scale, narrow = 1 / wide;
  const double reach = (cubic ? 2 : 1) * wide;
  axis.room = (long)std::ceil(reach) * 2 + 1;
  axis.taps = 0;
  axis.first.resize(kept);
  axis.count.resize(kept);
  axis.weights.assign(kept * axis.room, 0);
  static thread_local std::vector<double> real;
  real.resize(axis.room);
  for (long i = 0; i < kept; i++) {
    const double centre = begin + (from + i + 0.5) * scale;
    long low = (long)(centre - reach + 0.5), high = (long)(centre + reach + 0.5);
    if (low < 0) low = 0;
    if (high > length) high = length;
    double total = 0;
    for (long k = low; k < high; k++) {
      real[k - low] = weight((k - centre + 0.5) * narrow, cubic);
      total += real[k - low];
    }
    for (long k = 0; k < high - low; k++) {
      const double part = (total != 0 ? real[k] / total : real[k]) * (1 << BITS);
      axis.weights[i * axis.room + k] = (int32_t)(part < 0 ? part - 0.5 : part + 0.5);
    }
    axis.first[i] = low;
    axis.count[i] = high - low;
    axis.taps = high - low > axis.taps ? high - low : axis.taps;
  }
  axis.align();
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC pop_options
#endif

// SUMS * LANES sums of `taps` weighted bytes, which lie `step` bytes apart.
INLINE void weigh(const uint8_t* from, long step, const int32_t* weights, long taps, uint8_t* to) {
  Sum sums[SUMS];
  for (int n = 0; n < SUMS; n++) sums[n] = HALF;
  for (long k = 0; k < taps; k++)
    for (int n = 0; n < SUMS; n++) sums[n] += load(from + k * step + n * LANES) * weights[k];
  for (int n = 0; n < SUMS; n++) store(sums[n], to + n * LANES);
}

// Columns: `count` rows of RGBX pixels become rows of as many pixels as the axis has, ROWS of them at a time.
void columns(const uint8_t* source, long step, long count, const Axis& axis, uint8_t* target) {
  static thread_local std::vector<uint32_t> room;
  const long left = axis.begin(), wide = axis.end() - left, kept = axis.first.size(), taps = axis.taps;
  room.resize(wide * ROWS);
  uint32_t* const block = room.data();
  const int32_t *const weights = axis.weights.data(), *const first = axis.first.data();
  for (long row = 0; row < count; row += ROWS) {
    const uint32_t* rows[ROWS];
    for (long r = 0; r < ROWS; r++) rows[r] = (const uint32_t*)(source + (row + r < count ? row + r : count - 1) * step) + left;
    for (long x = 0; x < wide; x++)
      for (long r = 0; r < ROWS; r++) block[x * ROWS + r] = rows[r][x];
    uint8_t* to = target + row * kept * 4;
    for (long i = 0; i < kept; i++) {
      uint8_t pixels[SUMS * LANES];
      weigh((const uint8_t*)(block + (first[i] - left) * ROWS), SUMS * LANES, weights + i * axis.room, taps, pixels);
      for (long r = 0; r < ROWS; r++) std::memcpy(to + (r * kept + i) * 4, pixels + r * 4, 4);
    }
  }
}

// Rows: lines of `bytes` bytes become as many lines as the axis has, each a weighted sum of whole lines.
void rows(const uint8_t* source, long step, long bytes, const Axis& axis, uint8_t* target) {
  const long kept = axis.first.size(), taps = axis.taps;
  for (long i = 0; i < kept; i++) {
    const int32_t* weights = axis.weights.data() + i * axis.room;
    const uint8_t* from = source + (axis.first[i] - axis.begin()) * step;
    uint8_t* to = target + i * bytes;
    if (bytes < SUMS * LANES) {
      for (long x = 0; x < bytes; x++) {
        int32_t sum = HALF[0];
        for (long k = 0; k < taps; k++) sum += from[k * step + x] * weights[k];
        sum >>= BITS;
        to[x] = sum < 0 ? 0 : sum > 255 ? 255 : sum;
      }
      continue;
    }
    for (long next = 0; next < bytes; next += SUMS * LANES) {
      const long x = next + SUMS * LANES > bytes ? bytes - SUMS * LANES : next;  // the last bytes, some of them again
      weigh(from + x, step, weights, taps, to + x);
    }
  }
}

// RGBX pixels, with room for a register behind them, become three planes.
void planes(const uint8_t* source, long pixels, uint8_t* target) {
  for (long next = 0; next < pixels; next += LANES) {
    Sum four;
    std::memcpy(&four, source + next * 4, sizeof four);
    for (long colour = 0; colour < 3; colour++) {
      const Sum value = (four >> (8 * colour)) & 255;
      uint8_t* to = target + colour * pixels + next;
      if (next + LANES <= pixels)
        pack(value, to);
      else
        for (long x = 0; next + x < pixels; x++) to[x] = value[x];
    }
  }
}

}  // namespace

extern "C" {

struct Work {
  long width, height, step;  // of the source: pixels, pixels, bytes from row to row
  float box[4];              // left, top, right, bottom: this part becomes
  long size[2];              // so many pixels (width, height),
  long window[4];            // of which left, top, width, height are wanted
  long cubic, rows_first;    // whether cubic, or linear; whether rows come before columns
};

// The number of source rows that count, from the first row of the image on.
long rows_needed(const Work* work) {
  static thread_local Axis axis;
  measure(axis, work->height, work->box[1], work->box[3], work->size[1], work->window[1], work->window[3], work->cubic);
  return axis.end();
}

// source: RGBX, of which the first rows_needed() rows are read. target: (3, height, width) of the window.
void resample(const Work* work, const uint8_t* source, uint8_t* target) {
  static thread_local Axis across, down;
  static thread_local std::vector<uint8_t> between, pixels;
  const long wide = work->window[2], high = work->window[3];
  measure(across, work->width, work->box[0], work->box[2], work->size[0], work->window[0], wide, work->cubic);
  measure(down, work->height, work->box[1], work->box[3], work->size[1], work->window[1], high, work->cubic);
  const long left = across.begin(), top = down.begin(), count = down.end() - top, part = across.end() - left;
  source += top * work->step;
  pixels.resize((high + ROWS) * wide * 4 + 4 * LANES);
  if (work->rows_first) {
    between.resize(high * part * 4);
    rows(source + left * 4, work->step, part * 4, down, between.data());
    columns(between.data() - left * 4, part * 4, high, across, pixels.data());
  } else {
    between.resize((count + ROWS) * wide * 4);
    columns(source, work->step, count, across, between.data());
    rows(between.data(), wide * 4, wide * 4, down, pixels.data());
  }
  planes(pixels.data(), high * wide, target);
}

}
