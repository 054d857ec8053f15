// Where the time goes, if STAGES names the parts of the transform (stages.py; one thread): STAGE(name) ends a part and begins the next,
// ORDER(n) says of which order's maps the parts are that begin from now on. Otherwise both are nothing.
#ifdef STAGES
#include <cstdint>
#include <ctime>
enum class Stage { STAGES, COUNT };
static constexpr int ORDERS = 3;
extern "C" { uint64_t stage_ticks[ORDERS][(int)Stage::COUNT]; }
static uint64_t *current_stage = &stage_ticks[0][0], stage_began;
static int current_order;

static inline uint64_t ticks() {
#ifdef __x86_64__
  return __builtin_ia32_rdtsc();  // without a fence, which would cost a fifth of the time
#else
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000ull + now.tv_nsec;
#endif
}
static inline void begin(Stage stage) {
  __asm__ volatile("" ::: "memory");  // the compiler moves nothing from one stage to another
  const uint64_t now = ticks();
  *current_stage += now - stage_began;
  current_stage = &stage_ticks[current_order][(int)stage];
  stage_began = now;
  __asm__ volatile("" ::: "memory");
}
#define STAGE(NAME) begin(Stage::NAME)
#define ORDER(N) current_order = N
#else
#define STAGE(NAME)
#define ORDER(N)
#endif
