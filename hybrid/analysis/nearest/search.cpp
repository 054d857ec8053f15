// Candidates for the nearest neighbours of points, and their exact distances. `compiled_search` says what each function is for.
//
// A score of two points x and y is <x, y> - a(x) - a(y), in float32. a is a little less than half of the squared length, so that
// the score is at least -|x - y|²/2 with all rounding errors: larger scores are nearer. Points lie in panels of PANEL points:
// coordinate d of point p is packed[(p / PANEL) * dimension * PANEL + d * PANEL + p % PANEL]. The last panel is filled up with
// points of a = infinity, whose scores are -infinity. LANES and GROUP are defined by the text that precedes this one.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>
#if defined(__AVX512F__) || defined(__AVX2__)
#include <immintrin.h>
#endif

namespace {

const int VECTORS = 3, PANEL = VECTORS * LANES;  // of a panel; a tile is GROUP rows by one panel, all in registers
typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef float Unaligned __attribute__((vector_size(4 * LANES), aligned(4)));
#define INLINE static inline __attribute__((always_inline))

INLINE Vector load(const float* from) { return (Vector) * (const Unaligned*)from; }
INLINE Vector all(float value) { return value - (Vector){}; }
// One bit for each lane in which a is larger than b.
INLINE uint64_t larger(Vector a, Vector b) {
#if defined(__AVX512F__) && LANES == 16
  return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_GT_OQ);
#elif defined(__AVX2__) && LANES == 8
  return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps((__m256)a, (__m256)b, _CMP_GT_OQ));
#else
  uint64_t bits = 0;
  for (int lane = 0; lane < LANES; lane++) bits |= (uint64_t)(a[lane] > b[lane]) << lane;
  return bits;
#endif
}

}  // namespace

extern "C" {

// The points that are searched, or the queries.
struct Side {
  const float* packed;
  const float* half;  // -a
  long count;
};

// What is known of each query: `kept` scores and points of at most `capacity`; no other point has a score above `bound`.
struct Candidates {
  float* scores;
  int32_t* points;
  int32_t* kept;
  float* bounds;
  const int64_t* forbidden;  // (queries, 2), or null: points from the first to below the second number do not count
  long wanted, capacity;
};

}  // extern "C"

namespace {

INLINE long count_above(const float* scores, long count, float bound) {
  int32_t above = 0;
#pragma omp simd reduction(+ : above)
  for (long i = 0; i < count; i++) above += scores[i] > bound;
  return above;
}

// A bound with `wanted` scores above it, or a few more, by bisection. Equal scores may leave many more above.
INLINE float separating_bound(const float* scores, long count, long wanted) {
  float low = scores[0], high = scores[0];
#pragma omp simd reduction(min : low) reduction(max : high)
  for (long i = 0; i < count; i++) {
    low = scores[i] < low ? scores[i] : low;
    high = scores[i] > high ? scores[i] : high;
  }
  if (count_above(scores, count, low) < wanted) return low;
  for (int step = 0; step < 24; step++) {
    float middle = low + (high - low) / 2;
    long above = count_above(scores, count, middle);
    if (above < wanted) {
      high = middle;
    } else {
      low = middle;
      if (above <= wanted + wanted / 8) break;
    }
  }
  return low;
}

// The rare case of many equal scores: `wanted` of the best, and the worst of those is the bound.
__attribute__((noinline)) float keep_best(float* scores, int32_t* points, long count, long wanted) {
  std::vector<std::pair<float, int32_t>> pairs;
  for (long i = 0; i < count; i++) pairs.emplace_back(scores[i], points[i]);
  std::nth_element(pairs.begin(), pairs.begin() + wanted - 1, pairs.end(), std::greater<>());
  for (long i = 0; i < wanted; i++) scores[i] = pairs[i].first, points[i] = pairs[i].second;
  return pairs[wanted - 1].first;
}

// Leave the best of a query's candidates, from `wanted` to an eighth more.
__attribute__((noinline)) void shrink(const Candidates& found, long query) {
  float* scores = found.scores + query * found.capacity;
  int32_t* points = found.points + query * found.capacity;
  const long count = found.kept[query], wanted = found.wanted;
  float bound = separating_bound(scores, count, wanted);
  const long above = count_above(scores, count, bound);
  if (above < wanted || above > wanted + wanted / 8) {
    found.bounds[query] = keep_best(scores, points, count, wanted);
    found.kept[query] = wanted;
    return;
  }
  long kept = 0;
  for (long i = 0; i < count; i++) {
    float score = scores[i];
    scores[kept] = score;
    points[kept] = points[i];
    kept += score > bound;
  }
  found.bounds[query] = bound;
  found.kept[query] = kept;
}

INLINE uint64_t lowest_bits(long count) { return count <= 0 ? 0 : count >= 64 ? ~0ull : (1ull << count) - 1; }

// The bits of the points of a panel that count for the query.
INLINE uint64_t allowed(const Candidates& found, long query, long point) {
  if (!found.forbidden) return ~0ull;
  const int64_t* range = found.forbidden + 2 * query;
  return ~(lowest_bits(range[1] - point) & ~lowest_bits(range[0] - point));
}

// Append the points of a panel whose bits are set. There is always place for a panel.
INLINE void append(const Candidates& found, long query, long point, uint64_t bits, const Vector* scores) {
  long kept = found.kept[query];
  float* values = found.scores + query * found.capacity;
  int32_t* points = found.points + query * found.capacity;
#if defined(__AVX512F__) && LANES == 16
  const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
#pragma GCC unroll 3
  for (int v = 0; v < VECTORS; v++) {
    const __mmask16 mask = bits >> (v * LANES);
    const __m512i numbers = _mm512_add_epi32(lanes, _mm512_set1_epi32(point + v * LANES));
    _mm512_storeu_ps(values + kept, _mm512_maskz_compress_ps(mask, (__m512)scores[v]));
    _mm512_storeu_si512(points + kept, _mm512_maskz_compress_epi32(mask, numbers));
    kept += __builtin_popcount(mask);
  }
#else
  float row[PANEL];
  for (int v = 0; v < VECTORS; v++) *(Unaligned*)(row + v * LANES) = (Unaligned)scores[v];
  for (; bits; bits &= bits - 1) {
    int column = __builtin_ctzll(bits);
    values[kept] = row[column];
    points[kept++] = point + column;
  }
#endif
  found.kept[query] = kept;
  if (kept > found.capacity - PANEL) shrink(found, query);
}

// Append one query to the candidates of each of the points whose bits are set.
INLINE void append_to_each(const Candidates& found, long point, long query, uint64_t bits, const Vector* scores) {
  float row[PANEL];
#pragma GCC unroll 3
  for (int v = 0; v < VECTORS; v++) *(Unaligned*)(row + v * LANES) = (Unaligned)scores[v];
  for (; bits; bits &= bits - 1) {
    const int column = __builtin_ctzll(bits);
    const long place = (point + column) * found.capacity + found.kept[point + column]++;
    found.scores[place] = row[column];
    found.points[place] = query;
    if (found.kept[point + column] > found.capacity - PANEL) shrink(found, point + column);
  }
}

// The scores of GROUP queries and one panel of points, and of the points as queries if BOTH.
template <bool BOTH>
void tile(const Side& queries, long query, const Side& points, long point, long dimension, const Candidates& found) {
  const float* rows = queries.packed + query / PANEL * PANEL * dimension + query % PANEL;
  const float* columns = points.packed + point * dimension;
  Vector scores[GROUP][VECTORS];
#pragma GCC unroll 8
  for (int r = 0; r < GROUP; r++)
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) scores[r][v] = queries.half[query + r] + load(points.half + point + v * LANES);
  for (long d = 0; d < dimension; d++) {
    Vector column[VECTORS];
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) column[v] = load(columns + d * PANEL + v * LANES);
#pragma GCC unroll 8
    for (int r = 0; r < GROUP; r++)
#pragma GCC unroll 3
      for (int v = 0; v < VECTORS; v++) scores[r][v] += rows[d * PANEL + r] * column[v];
  }
  uint64_t nearer[GROUP], nearer_to_point[GROUP];
#pragma GCC unroll 8
  for (int r = 0; r < GROUP; r++) {
    nearer[r] = nearer_to_point[r] = 0;
#pragma GCC unroll 3
    for (int v = 0; v < VECTORS; v++) {
      nearer[r] |= larger(scores[r][v], all(found.bounds[query + r])) << (v * LANES);
      if (BOTH) nearer_to_point[r] |= larger(scores[r][v], load(found.bounds + point + v * LANES)) << (v * LANES);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < GROUP; r++) {
    if (!(nearer[r] | nearer_to_point[r])) continue;
    const uint64_t counting = allowed(found, query + r, point);
    if (nearer[r] & counting) append(found, query + r, point, nearer[r] & counting, scores[r]);
    if (BOTH && nearer_to_point[r] & counting)
      append_to_each(found, point, query + r, nearer_to_point[r] & counting, scores[r]);
  }
}

template <bool BOTH>
void block(const Side& queries, long first, long last, const Side& points, long begin, long end, long dimension,
           const Candidates& found) {
  for (long point = begin; point < end; point += PANEL)
    for (long query = first; query < last; query += GROUP)
      tile<BOTH>(queries, query, points, point, dimension, found);
}

// Two functions, so that no square and sum become one operation, which would round otherwise than torch does.
template <typename Number>
__attribute__((noinline)) void squares(const Number* a, const Number* b, long dimension, double* out) {
#pragma omp simd
  for (long d = 0; d < dimension; d++) {
    double difference = (double)a[d] - (double)b[d];
    out[d] = difference * difference;
  }
}
__attribute__((noinline)) double folded_sum(double* values, long width) {
  for (; width > 1; width /= 2) {
    long half = width / 2;
    const double* second = values + half;
    double odd = values[width - 1];
#pragma omp simd
    for (long i = 0; i < half; i++) values[i] += second[i];
    if (width % 2) values[0] += odd;
  }
  return values[0];
}

long padded(long count) { return (count + PANEL - 1) / PANEL * PANEL; }

// The smaller of the sizes of a block: `most`, or what gives every thread several of them.
long block_size(long count, long threads, long most) {
  return std::max<long>(PANEL, std::min<long>(most, padded(count) / (16 * threads) / PANEL * PANEL));
}

}  // namespace

extern "C" {

long panel_size() { return PANEL; }

// How many rounds `search_itself` has for so many points.
long rounds(long count, int threads) {
  long size = block_size(count, threads, 10 * PANEL), blocks = (padded(count) + size - 1) / size;
  return blocks + blocks % 2;
}

// Each point is a query, and each tile serves its rows and its columns. In one round no two threads meet the same block: round 0
// takes each block with itself, the others are those of a tournament in which each pair of blocks meets once.
void search_itself(const Side* points, long dimension, const Candidates* found, long first, long last, int threads) {
  const long size = block_size(points->count, threads, 10 * PANEL), end = padded(points->count);
  const long blocks = (end + size - 1) / size, players = blocks + blocks % 2;
#pragma omp parallel num_threads(threads)
  for (long round = first; round < last; round++) {
    const long matches = round ? players / 2 : blocks;
#pragma omp for schedule(dynamic, 1)
    for (long match = 0; match < matches; match++) {
      long a = match, b = match;
      if (round) {
        a = match ? (round - 1 + match) % (players - 1) : players - 1;
        b = (round - 1 - match + players - 1) % (players - 1);
      }
      if (std::max(a, b) >= blocks) continue;  // the one without a partner
      const long row = a * size, column = b * size;
      const long rows = std::min(row + size, end), columns = std::min(column + size, end);
      if (a == b)
        block<false>(*points, row, rows, *points, column, columns, dimension, *found);
      else
        block<true>(*points, row, rows, *points, column, columns, dimension, *found);
    }
  }
}

// Each query with the points of the panels from `begin` to below `end`, positions of points.
void search_points(const Side* queries, const Side* points, long dimension, const Candidates* found, long begin, long end,
                   int threads) {
  const long size = block_size(queries->count, threads, 2 * PANEL), last = padded(queries->count);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (long first = 0; first < last; first += size)
    block<false>(*queries, first, std::min(first + size, last), *points, begin, std::min(end, padded(points->count)), dimension,
                 *found);
}

}  // extern "C"

namespace {

template <typename Number>
void nearest(const Number* points, const Number* queries, long count, long dimension, long k, const Candidates& found,
             double* distances, int64_t* indices, float* bounds, int threads) {
#pragma omp parallel num_threads(threads)
  {
    std::vector<double> buffer(dimension);
    std::vector<std::pair<double, int64_t>> exact;
#pragma omp for schedule(dynamic, 64)
    for (long query = 0; query < count; query++) {
      if (found.kept[query] > found.wanted + found.wanted / 8) shrink(found, query);
      exact.clear();
      for (long i = 0; i < found.kept[query]; i++) {
        int64_t point = found.points[query * found.capacity + i];
        squares(queries + query * dimension, points + point * dimension, dimension, buffer.data());
        exact.emplace_back(std::sqrt(folded_sum(buffer.data(), dimension)), point);
      }
      std::partial_sort(exact.begin(), exact.begin() + k, exact.end());
      for (long i = 0; i < k; i++) {
        distances[query * k + i] = exact[i].first;
        indices[query * k + i] = exact[i].second;
      }
      bounds[query] = found.bounds[query];
    }
  }
}

}  // namespace

extern "C" {

// The k nearest of each query's candidates, by exact distances, ties by index, of features in rows as they are given.
void nearest_float(const float* points, const float* queries, long count, long dimension, long k, const Candidates* found,
                   double* distances, int64_t* indices, float* bounds, int threads) {
  nearest(points, queries, count, dimension, k, *found, distances, indices, bounds, threads);
}
void nearest_double(const double* points, const double* queries, long count, long dimension, long k, const Candidates* found,
                    double* distances, int64_t* indices, float* bounds, int threads) {
  nearest(points, queries, count, dimension, k, *found, distances, indices, bounds, threads);
}

}  // extern "C"
