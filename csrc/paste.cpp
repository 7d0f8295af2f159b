// paste on a CPU, forward and backward, row by row: paste_walk.h says where, kernels/paste_math.h (through
// paste_rows.h) what.
#include "paste_walk.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

namespace py = pybind11;

namespace asda {
namespace {

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
// index that is neither -1 nor of the pool, or -1); in the latter case nothing was written.
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
