// Candidates for the nearest neighbours of points, and their exact distances. `compiled_search` says what each function is for.
//
// A score of two points x and y is <x, y> - a(x) - a(y), in float32. a is a little less than half of the squared length, so that
// the score is at least -|x - y|²/2 with all rounding errors: larger scores are nearer. Points lie in panels of PANEL points:
// coordinate d of point p is packed[(p / PANEL) * dimension * PANEL + d * PANEL + p % PANEL]. The last panel is filled up with
// points of a = infinity, whose scores are -infinity. LANES and GROUP are defined by the text that precedes this one.
// With `halves`, a coordinate is two of them, in bfloat16: products are twice as fast where the CPU has an instruction for it.
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

// The points that are searched, or the queries; `dimension` counts the packed coordinates.
struct Side {
  float* packed;
  const float* half;  // -a
  double* squares;    // squared lengths
  long count, dimension, halves;
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
  long kept = 0, i = 0;
#if defined(__AVX512F__) && LANES == 16
  for (; i + LANES <= count; i += LANES) {  // what is written lies in front of what is read next
    const __m512 part = _mm512_loadu_ps(scores + i);
    const __m512i numbers = _mm512_loadu_si512(points + i);
    const __mmask16 mask = _mm512_cmp_ps_mask(part, _mm512_set1_ps(bound), _CMP_GT_OQ);
    _mm512_storeu_ps(scores + kept, _mm512_maskz_compress_ps(mask, part));
    _mm512_storeu_si512(points + kept, _mm512_maskz_compress_epi32(mask, numbers));
    kept += __builtin_popcount(mask);
  }
#endif
  for (; i < count; i++) {
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

// sum + a b; a and b are pairs of bfloat16 numbers if HALVES.
template <bool HALVES>
INLINE Vector add_product(Vector sum, float a, Vector b) {
#ifdef __AVX512BF16__
  if (HALVES) return (Vector)_mm512_dpbf16_ps((__m512)sum, (__m512bh)_mm512_set1_ps(a), (__m512bh)b);
#endif
  return sum + a * b;
}

// The scores of GROUP queries and one panel of points, and of the points as queries if BOTH.
template <bool BOTH, bool HALVES>
void tile(const Side& queries, long query, const Side& points, long point, const Candidates& found) {
  const long dimension = points.dimension;
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
      for (int v = 0; v < VECTORS; v++) scores[r][v] = add_product<HALVES>(scores[r][v], rows[d * PANEL + r], column[v]);
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

template <bool BOTH, bool HALVES>
void block(const Side& queries, long first, long last, const Side& points, long begin, long end, const Candidates& found) {
  for (long point = begin; point < end; point += PANEL)
    for (long query = first; query < last; query += GROUP) tile<BOTH, HALVES>(queries, query, points, point, found);
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

uint32_t bits_of(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  return bits;
}

// Packs the features, less the centre and scaled, with their squared lengths. The result is the largest relative error of a point.
template <typename Number>
double pack(const Number* features, const double* centre, double scale, long width, Side& out, int threads) {
  double worst = 0;
  const long panels = (out.count + PANEL - 1) / PANEL;
#pragma omp parallel for reduction(max : worst) num_threads(threads)
  for (long panel = 0; panel < panels; panel++) {
    float* packed = out.packed + panel * PANEL * out.dimension;
    memset(packed, 0, 4 * PANEL * out.dimension);
    for (long p = panel * PANEL; p < std::min((panel + 1) * PANEL, out.count); p++) {
      double square = 0, loss = 0;
      for (long d = 0; d < width; d++) {
        const double value = ((double)features[p * width + d] - centre[d]) * scale;
        float kept = value;
        square += value * value;
        if (out.halves) {
          uint32_t bits = bits_of(kept);
          bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;  // to the nearest, ties to even
          memcpy(&kept, &bits, 4);
          memcpy((char*)(packed + d / 2 * PANEL + p % PANEL) + 2 * (d % 2), (char*)&bits + 2, 2);
        } else {
          packed[d * PANEL + p % PANEL] = kept;
        }
        loss += (value - kept) * (value - kept);
      }
      out.squares[p] = square;
      if (loss > 0) worst = std::max(worst, std::sqrt(loss / square));
    }
  }
  return worst;
}

long padded(long count) { return (count + PANEL - 1) / PANEL * PANEL; }

// The smaller of the sizes of a block: `most`, or what gives every thread several of them.
long block_size(long count, long threads, long most) {
  return std::max<long>(PANEL, std::min<long>(most, padded(count) / (16 * threads) / PANEL * PANEL));
}

}  // namespace

extern "C" {

long panel_size() { return PANEL; }

// Whether this CPU multiplies bfloat16 numbers.
int has_halves() {
#ifdef __AVX512BF16__
  return LANES == 16;
#else
  return 0;
#endif
}

double pack_float(const float* features, const double* centre, double scale, long width, Side* out, int threads) {
  return pack(features, centre, scale, width, *out, threads);
}
double pack_double(const double* features, const double* centre, double scale, long width, Side* out, int threads) {
  return pack(features, centre, scale, width, *out, threads);
}

// How many rounds `search_itself` has for so many points.
long rounds(long count, int threads) {
  long size = block_size(count, threads, 10 * PANEL), blocks = (padded(count) + size - 1) / size;
  return blocks + blocks % 2;
}

}  // extern "C"

namespace {

template <bool HALVES>
void search_itself_as(const Side& points, const Candidates& found, long first, long last, int threads) {
  const long size = block_size(points.count, threads, 10 * PANEL), end = padded(points.count);
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
        block<false, HALVES>(points, row, rows, points, column, columns, found);
      else
        block<true, HALVES>(points, row, rows, points, column, columns, found);
    }
  }
}

template <bool HALVES>
void search_points_as(const Side& queries, const Side& points, const Candidates& found, long begin, long end, int threads) {
  const long size = block_size(queries.count, threads, 2 * PANEL), last = padded(queries.count);
  end = std::min(end, padded(points.count));
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (long first = 0; first < last; first += size)
    block<false, HALVES>(queries, first, std::min(first + size, last), points, begin, end, found);
}

}  // namespace

extern "C" {

// Each point is a query, and each tile serves its rows and its columns. In one round no two threads meet the same block: round 0
// takes each block with itself, the others are those of a tournament in which each pair of blocks meets once.
void search_itself(const Side* points, const Candidates* found, long first, long last, int threads) {
  (points->halves ? search_itself_as<true> : search_itself_as<false>)(*points, *found, first, last, threads);
}

// Each query with the points of the panels from `begin` to below `end`, positions of points.
void search_points(const Side* queries, const Side* points, const Candidates* found, long begin, long end, int threads) {
  (points->halves ? search_points_as<true> : search_points_as<false>)(*queries, *points, *found, begin, end, threads);
}

// What a proof is made of: the frame's scale, the relative error of exact distances, and the error by underflow.
struct Errors {
  double scale, distance, underflow;
};

}  // extern "C"

namespace {

// Half of the largest squared distance, in units of the frame, that a score can show for a point within `distance`.
double limit_of(double distance, double square, const Errors& errors) {
  const double scaled = distance * errors.scale;
  return (scaled * scaled * (1 + errors.distance) + square * errors.distance) / 2 + errors.underflow;
}

// Write the k pairs with the smallest distances, ties by index, in their order. The result is the largest of them.
double order(const std::vector<double>& exact, const std::vector<int64_t>& points, long k, double* distances, int64_t* indices) {
  const long count = exact.size();
  const double* all = exact.data();
  const int64_t* numbers = points.data();
  if (count > 256) {
    std::vector<std::pair<double, int64_t>> pairs;
    for (long i = 0; i < count; i++) pairs.emplace_back(all[i], numbers[i]);
    std::partial_sort(pairs.begin(), pairs.begin() + k, pairs.end());
    for (long i = 0; i < k; i++) distances[i] = pairs[i].first, indices[i] = pairs[i].second;
    return distances[k - 1];
  }
  for (long i = 0; i < count; i++) {
    const double own = all[i];
    const int64_t number = numbers[i];
    int64_t rank = 0;
#pragma omp simd reduction(+ : rank)
    for (long j = 0; j < count; j++) rank += (all[j] < own) | ((all[j] == own) & (numbers[j] < number));
    if (rank < k) distances[rank] = own, indices[rank] = number;
  }
  return distances[k - 1];
}

template <typename Number>
void nearest(const Number* points, const Number* all_queries, const Side& queries, long width, long k, const Candidates& found,
             const Errors& errors, double* distances, int64_t* indices, double* limits, int threads) {
#pragma omp parallel num_threads(threads)
  {
    std::vector<double> buffer(width), exact;
    std::vector<int64_t> nearby;
#pragma omp for schedule(dynamic, 64)
    for (long query = 0; query < queries.count; query++) {
      if (found.kept[query] > found.wanted + found.wanted / 8) shrink(found, query);
      const float* scores = found.scores + query * found.capacity;
      const int32_t* candidates = found.points + query * found.capacity;
      const long kept = found.kept[query];
      exact.clear();
      nearby.clear();
      auto measure = [&](long point) {
        squares(all_queries + query * width, points + point * width, width, buffer.data());
        exact.push_back(std::sqrt(folded_sum(buffer.data(), width)));
        nearby.push_back(point);
      };
      float first = separating_bound(scores, kept, k);
      if (count_above(scores, kept, first) < k) first = -INFINITY;
      for (long i = 0; i < kept; i++)
        if (scores[i] > first) measure(candidates[i]);
      double limit = limit_of(*std::max_element(exact.begin(), exact.end()), queries.squares[query], errors);
      for (long i = 0; i < kept; i++)
        if (!(scores[i] > first) && -(double)scores[i] <= limit) measure(candidates[i]);
      const double farthest = order(exact, nearby, k, distances + query * k, indices + query * k);
      limit = limit_of(farthest, queries.squares[query], errors);
      limits[query] = -(double)found.bounds[query] > limit ? INFINITY : limit;
    }
  }
}

}  // namespace

extern "C" {

// The k nearest of each query's candidates, by exact distances, ties by index, of features in rows as they are given. The limit
// of a query is infinite if they are proven to be the nearest of all points, and else the largest half of a squared distance
// that a nearer one can show.
void nearest_float(const float* points, const float* all_queries, const Side* queries, long width, long k,
                   const Candidates* found, const Errors* errors, double* distances, int64_t* indices, double* limits,
                   int threads) {
  nearest(points, all_queries, *queries, width, k, *found, *errors, distances, indices, limits, threads);
}
void nearest_double(const double* points, const double* all_queries, const Side* queries, long width, long k,
                    const Candidates* found, const Errors* errors, double* distances, int64_t* indices, double* limits,
                    int threads) {
  nearest(points, all_queries, *queries, width, k, *found, *errors, distances, indices, limits, threads);
}

}  // extern "C"
