// Where paste works: the slots of an image, the rows each one touches, the interval of its parallelogram on a row, and
// blocks of rows over the threads.
#pragma once
#include "paste_rows.h"
#include "threads.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace asda {
namespace {

constexpr int kBlock = 32; // rows of one task, and of one partial sum: part of the result's bits

struct Tensor4 { // [batch, channel, row, pixel] by strides in elements, whatever the layout in memory
    char *data;
    DType dtype;
    std::array<int64_t, 4> stride;

    int64_t bytes() const { return dtype == F64 ? 8 : dtype == F32 ? 4 : dtype == U8 ? 1 : 2; }
    RowRef row(int64_t b, int64_t y) const {
        return {data + (b * stride[0] + y * stride[2]) * bytes(), dtype, stride[1], stride[3]};
    }
    bool planar() const { return stride[3] == 1; }
    bool interleaved() const { return stride[3] == 3 && stride[1] == 1; }
};

struct Problem { // everything but the images
    const unsigned *texels;
    const long long *table;
    int64_t parts;
    const int64_t *part;
    const void *matrix;
    int64_t batch, slots, height, width;
    std::array<double, 3> mean, std;
    bool mips;
    int threads;
    bool portable;
};

template <class S> class Buffer { // aligned scratch that only grows
public:
    S *get(int64_t elements) {
        if (elements > size_) {
            const size_t bytes = (size_t(elements) * sizeof(S) + 63) / 64 * 64;
            data_.reset(static_cast<S *>(std::aligned_alloc(64, bytes)));
            if (!data_)
                throw std::bad_alloc();
            size_ = elements;
        }
        return data_.get();
    }

private:
    struct Free {
        void operator()(S *p) const { std::free(p); }
    };
    std::unique_ptr<S[], Free> data_;
    int64_t size_ = 0;
};

// A ready slot and where on the image it can be, with a margin for the rounding of `locate`.
template <class S> struct Placed {
    Slot<S> slot;
    int64_t n;
    int64_t top, bottom; // rows
    double error[2], inverse[2];

    Placed(const Slot<S> &ready, int64_t index, int64_t height, int64_t width) : slot(ready), n(index) {
        const S *m = slot.m;
        for (int i = 0; i < 2; ++i) {
            error[i] = 1e-6 * (std::abs(double(m[3 * i])) * width + std::abs(double(m[3 * i + 1])) * height +
                               std::abs(double(m[3 * i + 2])) + 1.0);
            inverse[i] = 1.0 / double(m[3 * i]);
        }
        // The corners of the support, back in the target: only their y is needed.
        const double down = double(m[0]) * m[4], across = double(m[1]) * m[3], det = down - across;
        const bool flat = !(std::abs(det) > 1e-9 * (std::abs(down) + std::abs(across)));
        double low = HUGE_VAL, high = -HUGE_VAL;
        for (int corner = 0; corner < 4; ++corner) {
            const double u = (corner & 1 ? double(slot.right) + error[0] : -error[0]) - m[2];
            const double v = (corner & 2 ? double(slot.below) + error[1] : -error[1]) - m[5];
            const double y = (double(m[0]) * v - double(m[3]) * u) / det;
            low = y < low ? y : low;
            high = y > high ? y : high;
            if (flat || !std::isfinite(y)) { // nearly a line: look at every row
                low = -HUGE_VAL;
                high = HUGE_VAL;
                break;
            }
        }
        top = low > 0 ? int64_t(std::min(low, double(height))) : 0;
        top = std::max<int64_t>(0, top - 1);
        bottom = high < height ? int64_t(std::max(high, 0.0)) + 1 : height;
        bottom = std::min(bottom, height);
    }

    bool interval(S y, int width, int &lo, int &hi) const {
        double begin = -HUGE_VAL, end = HUGE_VAL;
        for (int i = 0; i < 2; ++i) {
            const double step = slot.m[3 * i], r = double(slot.m[3 * i + 1]) * y + slot.m[3 * i + 2];
            const double low = -error[i] - r, high = double(i ? slot.below : slot.right) + error[i] - r;
            if (step == 0) {
                if (low > 0 || high < 0)
                    return false;
                continue;
            }
            double a = low * inverse[i], b = high * inverse[i];
            if (step < 0)
                std::swap(a, b);
            begin = a > begin ? a : begin;
            end = b < end ? b : end;
        }
        begin -= 0.501; // pixel x has its centre at x + 0.5
        end -= 0.499;
        lo = begin > 0 ? int(std::min(begin, double(width))) : 0;
        hi = end < width ? int(std::max(end + 1.0, 0.0)) : width;
        lo &= ~7;
        return lo < hi;
    }
};

template <class S> struct Walk {
    const Problem &p;
    const RowOps<S> &ops;
    Colour<S> colour;
    int64_t pitch, blocks;
    bool stream;

    Walk(const Problem &problem, const RowOps<S> &row_ops) : p(problem), ops(row_ops) {
        for (int c = 0; c < 3; ++c) {
            colour.scale[c] = S(1.0 / (255.0 * p.std[size_t(c)]));
            colour.offset[c] = S(p.mean[size_t(c)] / p.std[size_t(c)]);
        }
        pitch = (p.width + 15) / 16 * 16 + 16; // the extra line keeps the planes off the same cache set
        blocks = (p.height + kBlock - 1) / kBlock;
        // A small output is better left in the cache, for whoever reads it next.
        stream = p.batch * p.height * p.width * 3 * int64_t(sizeof(S)) > (8 << 20);
    }

    SlotState prepare(int64_t b, int64_t n, Slot<S> &slot) const {
        const int64_t i = b * p.slots + n;
        return make_slot(slot, static_cast<const S *>(p.matrix) + 6 * i, (long long)p.part[i], p.table,
                         (long long)p.parts, p.mips);
    }

    void place(int64_t b, std::vector<Placed<S>> &placed) const {
        placed.clear();
        Slot<S> slot;
        for (int64_t n = 0; n < p.slots; ++n)
            if (prepare(b, n, slot) == SLOT_READY) {
                Placed<S> candidate(slot, n, p.height, p.width);
                if (candidate.top < candidate.bottom)
                    placed.push_back(candidate);
            }
    }

    // The slots on row y; `owner` names the slot of each segment.
    void segments(const std::vector<Placed<S>> &placed, int64_t y, std::vector<Segment<S>> &out,
                  std::vector<int64_t> &owner) const {
        out.clear();
        owner.clear();
        for (const Placed<S> &q : placed) {
            if (y < q.top || y >= q.bottom)
                continue;
            Segment<S> s{&q.slot, p.texels, &colour, S(y) + S(0.5), 0, 0, int(p.width)};
            if (q.interval(s.y, s.width, s.lo, s.hi)) {
                out.push_back(s);
                owner.push_back(q.n);
            }
        }
    }

    // fn(b, first row, last row, slots of b, block index) over all blocks of rows.
    template <class F> void each_block(F &&fn) const {
        const int threads = p.batch * p.height * p.width < 8192 ? 1 : p.threads;
        // Whole images where there are enough of them: slots are prepared once.
        const int64_t grain = p.batch >= 8 * int64_t(threads) ? blocks : 1;
        parallel_for(p.batch * blocks, grain, threads, [&](int64_t begin, int64_t end) {
            static thread_local std::vector<Placed<S>> placed;
            int64_t prepared = -1;
            for (int64_t i = begin; i < end; ++i) {
                const int64_t b = i / blocks, first = i % blocks * kBlock;
                if (b != prepared)
                    place(prepared = b, placed);
                fn(b, first, std::min(first + kBlock, p.height), placed, i);
            }
            ops.flush();
        });
    }
};

} // namespace
} // namespace asda
