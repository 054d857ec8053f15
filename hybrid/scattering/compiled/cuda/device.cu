// What the passes stand on. A block of the grid is a team: `warps` warps of 32 threads, threadIdx.x the image, threadIdx.y the warp.
// A line of at most LONGEST_STRAIGHT numbers is one warp's, in registers, and a block takes several; a longer one is a whole
// team's, in shared memory, where every thread sees only the numbers of its own image.
#define ALWAYS_INLINE
#define INLINE static __device__ __forceinline__
#define UNROLL _Pragma("unroll")
typedef float Vector;
struct Complex { Vector re, im; };

INLINE Vector load(const float* from) { return from[threadIdx.x]; }
INLINE void store(float* to, Vector v) { to[threadIdx.x] = v; }
INLINE Complex load_complex(const float* from, int index) {
  const float* p = from + (size_t)index * 2 * LANES;
  return Complex{load(p), load(p + LANES)};
}
INLINE void store_complex(float* to, int index, Complex z) {
  float* p = to + (size_t)index * 2 * LANES;
  store(p, z.re);
  store(p + LANES, z.im);
}
INLINE Vector modulus(Vector re, Vector im) { return sqrtf(re * re + im * im); }
INLINE Complex turned(Complex z, float c, float s) { return Complex{z.re * c - z.im * s, z.re * s + z.im * c}; }

// A Fold whose aliases are read as one word each: offset, re, im.
struct Filter { const int *count, *base; const int4* aliases; };
INLINE Alias alias_at(const Filter& f, int e) {
  const int4 word = f.aliases[e];
  return Alias{word.x, __int_as_float(word.y), __int_as_float(word.z)};
}

// One launch; schedule.py fills it in. Arrays: [block of LANES images][map][row][column][re, im][LANES], unless a kernel says otherwise.
// Map = outer * inner + i: outer counts what comes from the order before, inner the filters.
struct Job {
  const float *in, *other;
  float *out, *also;
  const void* table;          // what a kernel reads of tables.py
  int images, blocks, outer, inner;
  int lines, keeps;           // of a map; how many numbers of a line stand in shared memory
  int from;                   // the level of `in`
  int channel, channel_step;  // of map 0, and from one outer map to the next
  int columns;                // of a half or whole spectrum, or of a table
  int filters, add;           // how many are summed; 1: add to `out`
};
extern __shared__ float shared[];

// Who works on which line of a job; `size`: its length.
struct Team {
  const int warp, warps;  // of the line
  const bool alone;
  int line, map, block;
  bool idle;
  float *kept, *scratch;  // scratch: between the two passes of a transform
  __device__ Team(const Job& job, int size)
      : warp(size <= LONGEST_STRAIGHT ? 0 : threadIdx.y), warps(size <= LONGEST_STRAIGHT ? 1 : blockDim.y),
        alone(size <= LONGEST_STRAIGHT), kept(shared), scratch(shared + (size_t)job.keeps * LANES) {
    const unsigned number = alone ? blockIdx.x * blockDim.y + threadIdx.y : blockIdx.x;
    const unsigned maps_before = number / job.lines, maps = job.outer * job.inner;
    line = number % job.lines;
    map = maps_before % maps;
    block = maps_before / maps;
    idle = block >= job.blocks;
  }
  __device__ void meet() const { if (!alone) __syncthreads(); }
  // Where the team's map begins in an array of maps of `size` numbers.
  __device__ size_t at(const Job& job, int size) const {
    return ((size_t)block * job.outer * job.inner + map) * size * LANES;
  }
  __device__ int outer(const Job& job) const { return map / job.inner; }
  __device__ int inner(const Job& job) const { return map % job.inner; }
  __device__ size_t outer_at(const Job& job, int size) const { return ((size_t)block * job.outer + outer(job)) * size * LANES; }
  __device__ int image() const { return block * LANES + (int)threadIdx.x; }
  __device__ int channel(const Job& job) const { return job.channel + outer(job) * job.channel_step + inner(job); }
};
