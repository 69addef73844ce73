#include "kernels.h"

#if !defined(_WIN32)
#include <pthread.h>
#endif

#include <atomic>
#include <cfenv>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>

namespace bntt {
namespace {

std::atomic<BnttOpenMP> openmp{nullptr};

class Pool {
 public:
  void run(Size units, int threads, Task task, void* context) {
    std::unique_lock<std::mutex> region(region_, std::defer_lock);
    if (threads < 2 || units < 2 || !region.try_lock()) {  // one that needs no other thread leaves the pool free
      for (Size unit = 0; unit < units; ++unit) task(context, unit, 0);
      return;
    }
    task_ = task, context_ = context, units_ = units;
    std::fegetenv(&numbers_);
    next_ = 0, busy_ = 0;
    if (const BnttOpenMP parallel = openmp)  // for few units too all threads: the runtime ends those it is not asked for
      parallel([](void* pool) { static_cast<Pool*>(pool)->join(); }, this, static_cast<unsigned>(threads), 0);
    else
      run_in_own(threads < units ? threads : static_cast<int>(units));
  }

 private:
  void run_in_own(int threads) {
    {
      std::lock_guard<std::mutex> hold(mutex_);
      while (workers_ < threads - 1 && start(workers_ + 1)) ++workers_;
      threads = workers_ + 1 < threads ? workers_ + 1 : threads;  // if no more can start, the others do all units
      wanted_ = running_ = threads - 1;
      ++region_number_;
    }
    wake_.notify_all();
    take();
    std::unique_lock<std::mutex> hold(mutex_);
    done_.wait(hold, [this] { return running_ == 0; });
  }

  bool start(int worker) {
    const Size seen = region_number_;
    try {
      std::thread([this, worker, seen] { work(worker, seen); }).detach();
    } catch (const std::exception&) {  // no thread, or no memory for one
      return false;
    }
    return true;
  }

  void work(int worker, Size seen) {
    std::unique_lock<std::mutex> hold(mutex_);
    for (;;) {
      wake_.wait(hold, [&] { return region_number_ != seen; });
      seen = region_number_;
      if (worker > wanted_) continue;
      hold.unlock();
      join();
      hold.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  // Take units with the caller's rounding and flushing of denormals. The thread may be torch's, and gets its own back.
  void join() {
    std::fenv_t own;
    std::fegetenv(&own);
    std::fesetenv(&numbers_);
    take();
    std::fesetenv(&own);
  }

  void take() {
    Size unit = next_.fetch_add(1);
    if (unit >= units_) return;
    const int worker = busy_.fetch_add(1);
    do task_(context_, unit, worker);
    while ((unit = next_.fetch_add(1)) < units_);
  }

  std::mutex region_;  // held by the thread whose units are being done; guards what they are
  Size units_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::fenv_t numbers_{};
  std::atomic<Size> next_{0};
  std::atomic<int> busy_{0};  // threads that have taken a unit

  std::mutex mutex_;  // guards the threads of its own
  std::condition_variable wake_, done_;
  int workers_ = 0, wanted_ = 0, running_ = 0;
  Size region_number_ = 0;
};

Pool* pool = nullptr;

#if !defined(_WIN32)
// A forked child has none of its parent's threads, and a thread that is gone may hold a lock: it gets a new pool. It
// works in threads of its own, since OpenMP would wait for the parent's.
void forked() { openmp = nullptr, pool = new Pool; }
#endif

Pool& ready() {
  static const bool made = [] {
    pool = new Pool;  // never destroyed: its threads sleep in it until the process ends
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, forked);
#endif
    return true;
  }();
  static_cast<void>(made);
  return *pool;
}

}  // namespace

void parallel(Size units, int threads, Task task, void* context) { ready().run(units, threads, task, context); }

}  // namespace bntt

extern "C" void bntt_use_openmp(BnttOpenMP parallel) {
  bntt::ready();
  bntt::openmp = parallel;
}
