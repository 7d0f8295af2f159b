// One pool of threads for the whole module.
//
// parallel_for splits [0, n) into chunks of `grain`, handed out by an atomic counter; the calling thread works too.
// Which thread does which chunk is not fixed, so a caller that wants the same bits at every thread count must write
// disjoint outputs per index (all callers here do). Several callers may be inside at once: each brings its own thread.
#pragma once
#include <cstdint>
#include <functional>

namespace asda {

// fn(begin, end) is called with sub-ranges of [0, n). threads <= 1, or n <= grain, runs inline.
void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)> &fn);

} // namespace asda
