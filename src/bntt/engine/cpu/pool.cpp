#include "kernel_table.h"

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

class Pool {
 public:
  void run(Size units, int threads, Task task, void* context) {
    if (threads > units) threads = static_cast<int>(units);
    std::unique_lock<std::mutex> region(region_, std::defer_lock);
    if (threads < 2 || !region.try_lock()) {  // one that needs no other thread leaves the pool free
      for (Size unit = 0; unit < units; ++unit) task(context, unit, 0);
      return;
    }
    {
      std::lock_guard<std::mutex> hold(mutex_);
      while (workers_ < threads - 1 && start(workers_ + 1)) ++workers_;
      threads = workers_ + 1 < threads ? workers_ + 1 : threads;  // if no more can start, the others do all units
      task_ = task, context_ = context, units_ = units;
      std::fegetenv(&numbers_);
      wanted_ = running_ = threads - 1;
      next_ = 0, ++region_number_;
    }
    wake_.notify_all();
    take(0);
    std::unique_lock<std::mutex> hold(mutex_);
    done_.wait(hold, [this] { return running_ == 0; });
  }

 private:
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
      const std::fenv_t numbers = numbers_;
      hold.unlock();
      std::fesetenv(&numbers);
      take(worker);
      hold.lock();
      if (--running_ == 0) done_.notify_one();
    }
  }

  void take(int worker) {
    for (Size unit; (unit = next_.fetch_add(1)) < units_;) task_(context_, unit, worker);
  }

  std::mutex region_;  // held by the thread whose units are being done
  std::mutex mutex_;   // guards everything below
  std::condition_variable wake_, done_;
  int workers_ = 0, wanted_ = 0, running_ = 0;
  Size region_number_ = 0, units_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  std::fenv_t numbers_{};  // the caller's rounding and flushing of denormals, for all threads
  std::atomic<Size> next_{0};
};

Pool* pool = nullptr;

#if !defined(_WIN32)
// A forked child has none of its parent's threads, and a thread that is gone may hold a lock: it gets a new pool.
void forked() { pool = new Pool; }
#endif

}  // namespace

void parallel(Size units, int threads, Task task, void* context) {
  static const bool ready = [] {
    pool = new Pool;  // never destroyed: its threads sleep in it until the process ends
#if !defined(_WIN32)
    pthread_atfork(nullptr, nullptr, forked);
#endif
    return true;
  }();
  if (ready) pool->run(units, threads, task, context);
}

}  // namespace bntt
