// A thread pool that sleeps between regions: torch's own OpenMP runtime stays the only one, and its cores stay free.
#pragma once

namespace bntt {

using Task = void (*)(void* context, long unit, int worker);

// Run task(context, unit, worker) for every unit in 0..units-1 on at most `threads` threads, the caller among them;
// workers are numbered 0..threads-1. Which worker takes which unit is left open: a result must not depend on it.
// A caller that finds the pool in use by another thread does all its units itself.
void parallel(long units, int threads, Task task, void* context);

}  // namespace bntt
