#include "threads.h"

#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include <pthread.h>
#include <pybind11/pybind11.h>

namespace asda {
namespace {

struct Job {
    const std::function<void(int64_t, int64_t)> *fn;
    int64_t n, grain;
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::condition_variable idle;
    int inside = 0; // helpers that are working; guarded by mutex
    std::exception_ptr error;

    void work() {
        for (;;) {
            const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
            if (begin >= n)
                return;
            try {
                (*fn)(begin, begin + grain < n ? begin + grain : n);
            } catch (...) {
                std::lock_guard<std::mutex> lock(mutex);
                if (!error)
                    error = std::current_exception();
                next.store(n, std::memory_order_relaxed);
            }
        }
    }
};

class Pool {
public:
    void run(Job &job, int helpers) {
        {
            std::lock_guard<std::mutex> lock(mutex_);
            try {
                while (static_cast<int>(threads_.size()) < helpers)
                    threads_.emplace_back([this] { loop(); });
            } catch (const std::system_error &) { // no more threads to be had: those that there are will do
                helpers = static_cast<int>(threads_.size());
            }
            for (int i = 0; i < helpers; ++i)
                queue_.push_back(&job);
        }
        helpers == 1 ? wake_.notify_one() : wake_.notify_all();
        job.work();
        { // Tickets nobody has taken yet must go before the job leaves the caller's stack.
            std::lock_guard<std::mutex> lock(mutex_);
            for (auto it = queue_.begin(); it != queue_.end();)
                it = *it == &job ? queue_.erase(it) : it + 1;
        }
        std::unique_lock<std::mutex> lock(job.mutex);
        job.idle.wait(lock, [&] { return job.inside == 0; });
    }

    static Pool &get() {
        // Never destroyed: its threads may outlive static destruction. A forked child starts with a new one,
        // because threads do not survive a fork.
        static Pool *pool = [] {
            pthread_atfork(nullptr, nullptr, [] { instance() = new Pool; });
            return instance() = new Pool;
        }();
        (void)pool;
        return *instance();
    }

private:
    static Pool *&instance() {
        static Pool *p = nullptr;
        return p;
    }

    void loop() {
        for (;;) {
            Job *job;
            {
                std::unique_lock<std::mutex> lock(mutex_);
                wake_.wait(lock, [&] { return !queue_.empty(); });
                job = queue_.front();
                queue_.pop_front();
                std::lock_guard<std::mutex> inside(job->mutex);
                ++job->inside;
            }
            job->work();
            std::lock_guard<std::mutex> lock(job->mutex);
            if (--job->inside == 0)
                job->idle.notify_one();
        }
    }

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<Job *> queue_;
    std::vector<std::thread> threads_;
};

} // namespace

void parallel_for(int64_t n, int64_t grain, int threads, const std::function<void(int64_t, int64_t)> &fn) {
    if (n <= 0)
        return;
    if (grain < 1)
        grain = 1;
    const int64_t chunks = (n + grain - 1) / grain;
    const int helpers = static_cast<int>(chunks < threads ? chunks : threads) - 1;
    if (helpers < 1) {
        fn(0, n);
        return;
    }
    Job job;
    job.fn = &fn;
    job.n = n;
    job.grain = grain;
    Pool::get().run(job, helpers);
    if (job.error)
        std::rethrow_exception(job.error);
}

} // namespace asda

void bind_threads(pybind11::module_ &m) {
    m.def(
        "count_parallel",
        [](int64_t n, int64_t grain, int threads) {
            pybind11::gil_scoped_release release;
            std::atomic<int64_t> sum{0};
            asda::parallel_for(n, grain, threads, [&](int64_t b, int64_t e) {
                for (int64_t i = b; i < e; ++i)
                    sum += i;
            });
            return sum.load();
        },
        "Sum of 0..n-1 over the thread pool: the pool's own test.");
}
