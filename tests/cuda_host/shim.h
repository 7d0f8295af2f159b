// CUDA on a CPU, just enough to execute the shipped kernels/*.cu as C++20: every CUDA thread is a thread, a block
// has a barrier, a warp has a barrier and an exchange buffer, and blocks run on several "multiprocessors" at once.
// AddressSanitizer then sees an access out of bounds and ThreadSanitizer a missing __syncthreads, in the very source
// that NVRTC compiles.
//
// Not modelled: divergence inside a warp-wide call (it deadlocks here), weak memory order, alignment faults (UBSan sees
// those).
#pragma once
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include <pthread.h>

#define __global__
#define __device__
#define __launch_bounds__(...)
#define ASDA_PERMUTE // paste_math.h's way on a GPU
#define ASDA_SHARED(type, name) type &name = shim::shared<type>()

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

inline thread_local Dim3 threadIdx, blockIdx;

namespace shim {

// Not std::barrier: its waiters meet in one table of the library, and ThreadSanitizer takes that for an order between
// threads that have none, so a missing __syncthreads between blocks goes unseen.
class Barrier {
public:
    explicit Barrier(unsigned threads) { pthread_barrier_init(&barrier_, nullptr, threads); }
    ~Barrier() { pthread_barrier_destroy(&barrier_); }
    void wait() { pthread_barrier_wait(&barrier_); }

private:
    pthread_barrier_t barrier_;
};

struct Warp {
    Barrier barrier{32};
    uint64_t lane[32];
};

struct Block { // one multiprocessor, which runs one block after another
    explicit Block(unsigned threads) : barrier(threads), warps(threads / 32) {
        for (auto &warp : warps)
            warp = std::make_unique<Warp>();
    }
    Barrier barrier;
    std::vector<std::unique_ptr<Warp>> warps;
    std::mutex mutex;
    std::unique_ptr<char[]> memory; // this block's __shared__ object; its exact size, so that ASan guards its end
};

inline thread_local Block *block;
inline thread_local int barriers; // __syncthreads of this thread in this block so far
inline int skipped = -1;          // planted race: the number of the __syncthreads that is left out
inline std::atomic<unsigned> pattern{0xcd};

inline Warp &warp() { return *block->warps[threadIdx.x / 32]; }

template <class T> T &shared() {
    std::lock_guard<std::mutex> lock(block->mutex);
    if (!block->memory) {
        block->memory.reset(new char[sizeof(T)]);
        std::memset(block->memory.get(), pattern, sizeof(T)); // not zero: shared memory is not initialised
    }
    return *reinterpret_cast<T *>(block->memory.get());
}

// Runs kernel(params) for blocks first .. first + count - 1 on `processors` multiprocessors.
template <class Kernel> void launch(unsigned count, int threads, int processors, Kernel kernel) {
    std::vector<std::unique_ptr<Block>> sms;
    std::vector<std::thread> all;
    for (int sm = 0; sm < processors; ++sm) {
        sms.push_back(std::make_unique<Block>(threads));
        for (int t = 0; t < threads; ++t)
            all.emplace_back([=, at = sms.back().get()] {
                block = at;
                threadIdx = {unsigned(t), 0, 0};
                for (unsigned b = sm; b < count; b += processors) {
                    blockIdx.x = b;
                    barriers = 0;
                    kernel();
                    block->barrier.wait();
                    if (t == 0)
                        block->memory.reset();
                    block->barrier.wait();
                }
            });
    }
    for (auto &thread : all)
        thread.join();
}

template <class T> T exchange(T value, int from) {
    static_assert(sizeof(T) <= 8);
    Warp &w = warp();
    std::memcpy(&w.lane[threadIdx.x % 32], &value, sizeof(T));
    w.barrier.wait();
    std::memcpy(&value, &w.lane[from], sizeof(T));
    w.barrier.wait();
    return value;
}

} // namespace shim

inline void __syncthreads() {
    if (shim::barriers++ != shim::skipped)
        shim::block->barrier.wait();
}
inline void __syncwarp() { shim::warp().barrier.wait(); }
inline void __threadfence() {} // every atomic below is acquire and release

inline unsigned __ballot_sync(unsigned, bool predicate) {
    shim::Warp &w = shim::warp();
    w.lane[threadIdx.x % 32] = predicate;
    w.barrier.wait();
    unsigned mask = 0;
    for (int i = 0; i < 32; ++i)
        mask |= unsigned(w.lane[i]) << i;
    w.barrier.wait();
    return mask;
}
template <class T> T __shfl_xor_sync(unsigned, T value, int distance) {
    return shim::exchange(value, int(threadIdx.x % 32) ^ distance);
}

template <class T> T atomicAdd(T *at, T value) { return std::atomic_ref<T>(*at).fetch_add(value); }
template <class T> T atomicMax(T *at, T value) {
    std::atomic_ref<T> ref(*at);
    T old = ref.load();
    while (old < value && !ref.compare_exchange_weak(old, value)) {
    }
    return old;
}
template <class T> T atomicMin(T *at, T value) {
    std::atomic_ref<T> ref(*at);
    T old = ref.load();
    while (value < old && !ref.compare_exchange_weak(old, value)) {
    }
    return old;
}
template <class T> T __ldcg(const T *at) { return *at; }

template <class T> void __stcg(T *at, T value) { *at = value; }

inline int __ffs(unsigned v) { return v ? std::countr_zero(v) + 1 : 0; }
inline int __clz(int v) { return std::countl_zero(unsigned(v)); }
inline int __float2int_rn(float v) { return int(std::lrint(v)); }
inline float __uint_as_float(unsigned v) { return std::bit_cast<float>(v); }
inline unsigned __byte_perm(unsigned a, unsigned b, unsigned pick) {
    const uint64_t both = uint64_t(b) << 32 | a;
    unsigned out = 0;
    for (int i = 0; i < 4; ++i)
        out |= unsigned(both >> (pick >> (4 * i) & 7) * 8 & 255) << (8 * i);
    return out;
}
inline unsigned __float_as_uint(float v) { return std::bit_cast<unsigned>(v); }
inline double __hiloint2double(int high, int low) {
    return std::bit_cast<double>(uint64_t(unsigned(high)) << 32 | unsigned(low));
}
inline int __double2loint(double v) { return int(unsigned(std::bit_cast<uint64_t>(v))); }
inline int __double2hiint(double v) { return int(unsigned(std::bit_cast<uint64_t>(v) >> 32)); }
