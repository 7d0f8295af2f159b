// How a CPU walks over the pixels of `paste`: blocks of rows over the threads, on each row only the interval of each
// part's parallelogram. The pixels themselves are kernels/paste_math.h, through paste_rows.h.
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

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace py = pybind11;

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

// Rows that no part touches go straight through, when both sides look alike.
bool alike(const Tensor4 &a, const Tensor4 &b) {
    return a.dtype == b.dtype && ((a.planar() && b.planar()) || (a.interleaved() && b.interleaved()));
}

template <class S> void pass_row(const Walk<S> &walk, const Tensor4 &from, const Tensor4 &to, int64_t b, int64_t y) {
    const RowRef in = from.row(b, y), out = to.row(b, y);
    if (from.planar())
        for (int c = 0; c < 3; ++c)
            walk.ops.copy(in.data + c * in.channel * from.bytes(), out.data + c * out.channel * to.bytes(),
                          walk.p.width * from.bytes(), walk.stream);
    else
        walk.ops.copy(in.data, out.data, 3 * walk.p.width * from.bytes(), walk.stream);
}

template <class S> struct Scratch {
    Buffer<S> rows, v_rows, trail;
    std::vector<Segment<S>> segments;
    std::vector<int64_t> owner;
    std::vector<int64_t> trail_at; // offset into trail, -1: the slot is alone

    static Scratch &mine() {
        static thread_local Scratch scratch;
        return scratch;
    }
};

template <class S>
void forward(const Problem &problem, const RowOps<S> &ops, const Tensor4 &image, const Tensor4 &out) {
    const Walk<S> walk(problem, ops);
    const bool straight = alike(image, out);
    const int width = int(problem.width);
    walk.each_block([&](int64_t b, int64_t first, int64_t last, const std::vector<Placed<S>> &placed, int64_t) {
        Scratch<S> &scratch = Scratch<S>::mine();
        S *rows = scratch.rows.get(3 * walk.pitch);
        for (int64_t y = first; y < last; ++y) {
            walk.segments(placed, y, scratch.segments, scratch.owner);
            if (scratch.segments.empty() && straight) {
                pass_row(walk, image, out, b, y);
                continue;
            }
            ops.load(image.row(b, y), walk.colour, 0, width, rows, walk.pitch);
            for (const Segment<S> &s : scratch.segments)
                ops.blend(s, rows, walk.pitch);
            ops.store(rows, walk.pitch, 0, width, out.row(b, y), walk.stream);
        }
    });
}

// Where the traced slots keep their trails; a slot that meets no other on this row needs none.
template <class S> int64_t plan_trails(Scratch<S> &scratch) {
    const auto &segments = scratch.segments;
    scratch.trail_at.assign(segments.size(), -1);
    int64_t total = 0;
    for (size_t i = 0; i < segments.size(); ++i)
        for (size_t j = 0; j < segments.size(); ++j)
            if (i != j && segments[i].lo < segments[j].hi && segments[j].lo < segments[i].hi) {
                scratch.trail_at[i] = total;
                total += kTrail * ((segments[i].hi - segments[i].lo + 7) / 8 * 8);
                break;
            }
    return total;
}

// v_matrix: [B, N, 2, 3] S; v_image may have no data: then only the parts' intervals are read.
template <class S>
void backward(const Problem &problem, const RowOps<S> &ops, const Tensor4 &v_out, const Tensor4 &image, S *v_matrix,
              const Tensor4 &v_image) {
    const Walk<S> walk(problem, ops);
    const int width = int(problem.width);
    const bool all = v_image.data != nullptr, straight = all && alike(v_out, v_image);
    const Colour<S> as_is{}; // v_out is never uint8
    std::vector<std::array<double, 6>> partial(size_t(problem.batch * walk.blocks * problem.slots));
    walk.each_block([&](int64_t b, int64_t first, int64_t last, const std::vector<Placed<S>> &placed, int64_t block) {
        Scratch<S> &scratch = Scratch<S>::mine();
        S *rows = scratch.rows.get(3 * walk.pitch), *v_rows = scratch.v_rows.get(3 * walk.pitch);
        for (int64_t y = first; y < last; ++y) {
            walk.segments(placed, y, scratch.segments, scratch.owner);
            const auto &segments = scratch.segments;
            if (segments.empty()) {
                if (straight)
                    pass_row(walk, v_out, v_image, b, y);
                else if (all) {
                    ops.load(v_out.row(b, y), as_is, 0, width, v_rows, walk.pitch);
                    ops.store(v_rows, walk.pitch, 0, width, v_image.row(b, y), walk.stream);
                }
                continue;
            }
            int lo = width, hi = 0;
            for (const Segment<S> &s : segments) {
                lo = std::min(lo, s.lo);
                hi = std::max(hi, s.hi);
            }
            ops.load(image.row(b, y), walk.colour, lo, hi, rows, walk.pitch);
            ops.load(v_out.row(b, y), as_is, all ? 0 : lo, all ? width : hi, v_rows, walk.pitch);
            S *trail = scratch.trail.get(plan_trails(scratch));
            for (size_t i = 0; i < segments.size(); ++i)
                if (scratch.trail_at[i] >= 0)
                    ops.trace(segments[i], rows, walk.pitch, trail + scratch.trail_at[i]);
            for (size_t i = segments.size(); i-- > 0;) {
                S sums[4] = {};
                if (scratch.trail_at[i] >= 0)
                    ops.gradient(segments[i], trail + scratch.trail_at[i], v_rows, walk.pitch, sums);
                else
                    ops.alone(segments[i], rows, v_rows, walk.pitch, sums);
                const double centre = double(y) + 0.5;
                auto &sum = partial[size_t(block * problem.slots + scratch.owner[i])];
                for (int r = 0; r < 2; ++r) {
                    sum[size_t(3 * r)] += double(sums[2 * r + 1]);
                    sum[size_t(3 * r + 1)] += double(sums[2 * r]) * centre;
                    sum[size_t(3 * r + 2)] += double(sums[2 * r]);
                }
            }
            if (all)
                ops.store(v_rows, walk.pitch, 0, width, v_image.row(b, y), walk.stream);
        }
    });
    for (int64_t i = 0; i < problem.batch * problem.slots; ++i) { // blocks in their order, whoever computed them
        const int64_t b = i / problem.slots, n = i % problem.slots;
        std::array<double, 6> sum{};
        for (int64_t k = 0; k < walk.blocks; ++k)
            for (size_t j = 0; j < 6; ++j)
                sum[j] += partial[size_t((b * walk.blocks + k) * problem.slots + n)][j];
        Slot<S> slot;
        const bool ready = walk.prepare(b, n, slot) == SLOT_READY;
        for (size_t j = 0; j < 6; ++j)
            v_matrix[6 * i + int64_t(j)] = ready ? S(sum[j] * double(slot.shrink[j / 3])) : S(0);
    }
}

bool has_avx2() {
#if defined(__x86_64__)
    static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
    return yes;
#else
    return false;
#endif
}

const RowOps<float> &rows_f32(bool portable) {
#if defined(__x86_64__)
    if (!portable && has_avx2())
        return kAvx2;
#endif
    (void)portable;
    return kPortableF32;
}

template <class S> std::pair<int64_t, int64_t> inspect(const Problem &p) {
    int64_t bad_matrix = 0;
    Slot<S> slot;
    for (int64_t i = 0; i < p.batch * p.slots; ++i) {
        const SlotState state = make_slot(slot, static_cast<const S *>(p.matrix) + 6 * i, (long long)p.part[i], p.table,
                                          (long long)p.parts, false);
        if (state == SLOT_BAD_INDEX)
            return {bad_matrix, i};
        bad_matrix += state == SLOT_BAD_MATRIX;
    }
    return {bad_matrix, -1};
}

using Strides = std::array<int64_t, 4>;

Tensor4 tensor(uintptr_t data, int dtype, const Strides &stride) {
    return {reinterpret_cast<char *>(data), DType(dtype), stride};
}

Problem problem(uintptr_t texels, uintptr_t table, int64_t parts, uintptr_t part, uintptr_t matrix,
                const std::array<int64_t, 4> &shape, const std::array<double, 3> &mean,
                const std::array<double, 3> &std, bool mips, int threads, bool portable) {
    return {reinterpret_cast<const unsigned *>(texels),
            reinterpret_cast<const long long *>(table),
            parts,
            reinterpret_cast<const int64_t *>(part),
            reinterpret_cast<const void *>(matrix),
            shape[0],
            shape[1],
            shape[2],
            shape[3],
            mean,
            std,
            mips,
            threads,
            portable};
}

} // namespace
} // namespace asda

// shape: batch, slots, height, width; strides: batch, channel, row, pixel. matrix and v_matrix are double when the
// arithmetic is (`wide`), else float. paste_forward returns (slots with a NaN or inf matrix, position of the first part
// index past the pool or -1); in the latter case nothing was written.
void bind_paste(py::module_ &m) {
    using namespace asda;
    m.def("paste_forward",
          [](uintptr_t image, int image_dtype, const Strides &image_stride, uintptr_t out, int out_dtype,
             const Strides &out_stride, uintptr_t texels, uintptr_t table, int64_t parts, uintptr_t part,
             uintptr_t matrix, const std::array<int64_t, 4> &shape, const std::array<double, 3> &mean,
             const std::array<double, 3> &std, bool wide, bool mips, int threads, bool portable) {
              py::gil_scoped_release release;
              const Problem p = problem(texels, table, parts, part, matrix, shape, mean, std, mips, threads, portable);
              const auto found = wide ? inspect<double>(p) : inspect<float>(p);
              if (found.second >= 0)
                  return found;
              const Tensor4 from = tensor(image, image_dtype, image_stride), to = tensor(out, out_dtype, out_stride);
              if (wide)
                  forward<double>(p, kPortableF64, from, to);
              else
                  forward<float>(p, rows_f32(portable), from, to);
              return found;
          });
    m.def("paste_backward",
          [](uintptr_t v_out, int out_dtype, const Strides &out_stride, uintptr_t image, int image_dtype,
             const Strides &image_stride, uintptr_t v_matrix, uintptr_t v_image, const Strides &v_image_stride,
             uintptr_t texels, uintptr_t table, int64_t parts, uintptr_t part, uintptr_t matrix,
             const std::array<int64_t, 4> &shape, const std::array<double, 3> &mean, const std::array<double, 3> &std,
             bool wide, bool mips, int threads, bool portable) {
              py::gil_scoped_release release;
              const Problem p = problem(texels, table, parts, part, matrix, shape, mean, std, mips, threads, portable);
              const Tensor4 gradient = tensor(v_out, out_dtype, out_stride);
              const Tensor4 from = tensor(image, image_dtype, image_stride);
              const Tensor4 to = tensor(v_image, image_dtype, v_image_stride);
              if (wide)
                  backward<double>(p, kPortableF64, gradient, from, reinterpret_cast<double *>(v_matrix), to);
              else
                  backward<float>(p, rows_f32(portable), gradient, from, reinterpret_cast<float *>(v_matrix), to);
          });
    m.def("paste_has_avx2", &has_avx2, "Whether this CPU takes the AVX2 path.");
}
