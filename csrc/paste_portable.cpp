// The rows of paste in plain C++, float and double: the meaning of paste_avx2.cpp, and the path of every other CPU.
#include "paste_convert.h"
#include "paste_rows.h"

#include <cstring>

namespace asda {
namespace {

constexpr int kLanes = 8; // partial sums per row, pixel x in lane x % 8: what one AVX2 vector does

template <class S> struct Lanes {
    S at[4][kLanes] = {};

    void add(int x, S centre, S v_u, S v_v) {
        const int lane = x % kLanes;
        at[0][lane] += v_u;
        at[1][lane] += v_u * centre;
        at[2][lane] += v_v;
        at[3][lane] += v_v * centre;
    }
    void into(S sums[4]) const {
        for (int i = 0; i < 4; ++i) {
            const S *a = at[i];
            sums[i] += ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
        }
    }
};

template <class S, class F> void each_inside(const Segment<S> &s, F &&f) {
    const int end = s.hi < s.width ? s.hi : s.width;
    for (int x = s.lo; x < end; ++x) {
        const S centre = S(x) + S(0.5);
        S u, v;
        if (locate(*s.slot, centre, s.y, u, v))
            f(x, centre, u, v);
    }
}

template <class S> void blend(const Segment<S> &s, S *rows, int64_t pitch) {
    each_inside(s, [&](int x, S, S u, S v) {
        S pixel[3] = {rows[x], rows[pitch + x], rows[2 * pitch + x]};
        paste_pixel(pixel, *s.slot, s.texels, *s.colour, u, v);
        for (int c = 0; c < 3; ++c)
            rows[c * pitch + x] = pixel[c];
    });
}

template <class S> int64_t trail_pitch(const Segment<S> &s) { return (s.hi - s.lo + 7) / 8 * 8; }

template <class S> void trace(const Segment<S> &s, S *rows, int64_t pitch, S *trail) {
    const int64_t step = trail_pitch(s);
    each_inside(s, [&](int x, S, S u, S v) {
        const Taps<S> taps = fetch(s.texels + s.slot->first, s.slot->stride, u, v);
        S *t = trail + (x - s.lo);
        const S a = opacity(sample_grad(taps, 3, t[7 * step], t[11 * step]));
        t[0] = S(1) - a;
        for (int c = 0; c < 3; ++c) {
            const S below = rows[c * pitch + x];
            t[(1 + c) * step] = below;
            const S value = sample_grad(taps, c, t[(4 + c) * step], t[(8 + c) * step]);
            rows[c * pitch + x] = over(below, value, a, *s.colour, c);
        }
    });
}

template <class S> void gradient(const Segment<S> &s, const S *trail, S *v_rows, int64_t pitch, S sums[4]) {
    const int64_t step = trail_pitch(s);
    Lanes<S> lanes;
    each_inside(s, [&](int x, S centre, S, S) {
        const S *t = trail + (x - s.lo);
        S v_out[3], below[3], du[4], dv[4], v_u, v_v;
        for (int c = 0; c < 3; ++c) {
            v_out[c] = v_rows[c * pitch + x];
            below[c] = t[(1 + c) * step];
            v_rows[c * pitch + x] = v_out[c] * t[0];
        }
        for (int c = 0; c < 4; ++c) {
            du[c] = t[(4 + c) * step];
            dv[c] = t[(8 + c) * step];
        }
        paste_pixel_backward(v_out, below, du, dv, *s.colour, v_u, v_v);
        lanes.add(x, centre, v_u, v_v);
    });
    lanes.into(sums);
}

template <class S> void alone(const Segment<S> &s, const S *rows, S *v_rows, int64_t pitch, S sums[4]) {
    Lanes<S> lanes;
    each_inside(s, [&](int x, S centre, S u, S v) {
        const Taps<S> taps = fetch(s.texels + s.slot->first, s.slot->stride, u, v);
        S v_out[3], below[3], du[4], dv[4], v_u, v_v;
        for (int c = 0; c < 3; ++c)
            sample_grad(taps, c, du[c], dv[c]);
        const S keep = S(1) - opacity(sample_grad(taps, 3, du[3], dv[3]));
        for (int c = 0; c < 3; ++c) {
            v_out[c] = v_rows[c * pitch + x];
            below[c] = rows[c * pitch + x];
            v_rows[c * pitch + x] = v_out[c] * keep;
        }
        paste_pixel_backward(v_out, below, du, dv, *s.colour, v_u, v_v);
        lanes.add(x, centre, v_u, v_v);
    });
    lanes.into(sums);
}

template <class M, class F> void read(const RowRef &from, int lo, int hi, F &&put) {
    for (int c = 0; c < 3; ++c) {
        const M *p = reinterpret_cast<const M *>(from.data) + c * from.channel;
        for (int x = lo; x < hi; ++x)
            put(c, x, p[x * from.pixel]);
    }
}

template <class S> void load(const RowRef &from, const Colour<S> &colour, int lo, int hi, S *rows, int64_t pitch) {
    switch (from.dtype) {
    case F64:
        return read<double>(from, lo, hi, [&](int c, int x, double v) { rows[c * pitch + x] = S(v); });
    case F32:
        return read<float>(from, lo, hi, [&](int c, int x, float v) { rows[c * pitch + x] = S(v); });
    case BF16:
        return read<uint16_t>(from, lo, hi, [&](int c, int x, uint16_t v) { rows[c * pitch + x] = S(from_bf16(v)); });
    case F16:
        return read<uint16_t>(from, lo, hi, [&](int c, int x, uint16_t v) { rows[c * pitch + x] = S(from_f16(v)); });
    case U8:
        return read<uint8_t>(from, lo, hi, [&](int c, int x, uint8_t v) {
            rows[c * pitch + x] = S(int(v)) * colour.scale[c] - colour.offset[c];
        });
    }
}

template <class M, class S, class F>
void write(const S *rows, int64_t pitch, int lo, int hi, const RowRef &to, F &&convert) {
    for (int c = 0; c < 3; ++c) {
        M *p = reinterpret_cast<M *>(to.data) + c * to.channel;
        for (int x = lo; x < hi; ++x)
            p[x * to.pixel] = convert(rows[c * pitch + x]);
    }
}

template <class S> void store(const S *rows, int64_t pitch, int lo, int hi, const RowRef &to, bool) {
    switch (to.dtype) {
    case F64:
        return write<double>(rows, pitch, lo, hi, to, [](S v) { return double(v); });
    case F32:
        return write<float>(rows, pitch, lo, hi, to, [](S v) { return float(v); });
    case BF16:
        return write<uint16_t>(rows, pitch, lo, hi, to, [](S v) { return to_bf16(float(v)); });
    case F16:
        return write<uint16_t>(rows, pitch, lo, hi, to, [](S v) { return to_f16(float(v)); });
    case U8:
        return write<uint8_t>(rows, pitch, lo, hi, to, [](S v) { return to_u8(float(v)); });
    }
}

void copy(const void *from, void *to, int64_t bytes, bool) { std::memcpy(to, from, size_t(bytes)); }

void flush() {}

} // namespace

const RowOps<float> kPortableF32 = {load<float>,  store<float>,    copy,         blend<float>,
                                    trace<float>, gradient<float>, alone<float>, flush};
const RowOps<double> kPortableF64 = {load<double>,  store<double>,    copy,          blend<double>,
                                     trace<double>, gradient<double>, alone<double>, flush};

} // namespace asda
