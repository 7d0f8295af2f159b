// The rows of paste, eight pixels per vector. Every operation stands in the order of kernels/paste_math.h, nothing is
// contracted to FMA: the bits are those of paste_portable.cpp.
#include "paste_convert.h"
#include "paste_rows.h"

#include <algorithm>
#include <cstring>
#include <immintrin.h>

namespace asda {
namespace {

using V = __m256;
using I = __m256i;

inline V set(float f) { return _mm256_set1_ps(f); }
inline V mul(V a, V b) { return _mm256_mul_ps(a, b); }
inline V add(V a, V b) { return _mm256_add_ps(a, b); }
inline V sub(V a, V b) { return _mm256_sub_ps(a, b); }

// The constants of one segment, in registers for the whole row.
struct Line {
    V m0, m3, ru, rv, right, below, width;
    I stride;
    const unsigned *block;
    int64_t step;
    V scale[3], offset[3];

    explicit Line(const Segment<float> &s) {
        const Slot<float> &slot = *s.slot;
        m0 = set(slot.m[0]);
        m3 = set(slot.m[3]);
        ru = set(slot.m[1] * s.y + slot.m[2]);
        rv = set(slot.m[4] * s.y + slot.m[5]);
        right = set(slot.right);
        below = set(slot.below);
        width = set(float(s.width));
        stride = _mm256_set1_epi32(slot.stride);
        block = s.texels + slot.first;
        step = slot.stride;
        for (int c = 0; c < 3; ++c) {
            scale[c] = set(s.colour->scale[c]);
            offset[c] = set(s.colour->offset[c]);
        }
    }
};

inline V centres(int x) {
    const V lane = _mm256_setr_ps(0.5f, 1.5f, 2.5f, 3.5f, 4.5f, 5.5f, 6.5f, 7.5f);
    return add(set(float(x)), lane); // exact below 2^23
}

// Where up to kChunk pixels of a row meet the patch. Found before any texel is read: one loop that does both waits for
// each address in turn, two loops keep the loads apart from what they depend on (a quarter faster).
constexpr int kChunk = 256;
struct Found {
    alignas(32) int at[kChunk]; // texel, 0 where outside: its value is discarded
    alignas(32) float fx[kChunk], fy[kChunk], inside[kChunk];
};

inline V is_inside(const Line &l, V x, V u, V v) {
    const V zero = _mm256_setzero_ps();
    const V in_u = _mm256_and_ps(_mm256_cmp_ps(u, zero, _CMP_GE_OQ), _mm256_cmp_ps(u, l.right, _CMP_LT_OQ));
    const V in_v = _mm256_and_ps(_mm256_cmp_ps(v, zero, _CMP_GE_OQ), _mm256_cmp_ps(v, l.below, _CMP_LT_OQ));
    return _mm256_and_ps(_mm256_and_ps(in_u, in_v), _mm256_cmp_ps(x, l.width, _CMP_LT_OQ));
}

// Pixels x .. of the segment, at most kChunk; returns how many, a multiple of 8.
inline int find(const Line &l, int x, int hi, Found &found) {
    const int count = std::min(hi - x + 7, kChunk) & ~7;
    for (int k = 0; k < count; k += 8) {
        const V at = centres(x + k);
        const V u = add(mul(l.m0, at), l.ru), v = add(mul(l.m3, at), l.rv);
        const V inside = is_inside(l, at, u, v);
        const I xi = _mm256_cvttps_epi32(u), yi = _mm256_cvttps_epi32(v);
        const I texel = _mm256_add_epi32(_mm256_mullo_epi32(yi, l.stride), xi);
        _mm256_store_ps(found.fx + k, sub(u, _mm256_cvtepi32_ps(xi)));
        _mm256_store_ps(found.fy + k, sub(v, _mm256_cvtepi32_ps(yi)));
        _mm256_store_ps(found.inside + k, inside);
        _mm256_store_si256(reinterpret_cast<I *>(found.at + k), _mm256_and_si256(texel, _mm256_castps_si256(inside)));
    }
    return count;
}

struct Taps8 {
    V inside; // mask
    I t00, t10, t01, t11;
    V fx, fy;
};

// Pixels i and j: two neighbouring texels each.
inline __m128i pairs(const unsigned *t, int i, int j) {
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(t + i));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64 *>(t + j)));
}

inline void split(const unsigned *t, const int *at, I &left, I &right) {
    const V a = _mm256_castsi256_ps(_mm256_set_m128i(pairs(t, at[4], at[5]), pairs(t, at[0], at[1])));
    const V b = _mm256_castsi256_ps(_mm256_set_m128i(pairs(t, at[6], at[7]), pairs(t, at[2], at[3])));
    left = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0x88));
    right = _mm256_castps_si256(_mm256_shuffle_ps(a, b, 0xdd));
}

inline Taps8 taps(const Line &l, const Found &found, int k) {
    Taps8 t;
    t.inside = _mm256_load_ps(found.inside + k);
    t.fx = _mm256_load_ps(found.fx + k);
    t.fy = _mm256_load_ps(found.fy + k);
    split(l.block, found.at + k, t.t00, t.t10);
    split(l.block + l.step, found.at + k, t.t01, t.t11);
    return t;
}

// fn(x, taps) for each eight pixels of the segment.
template <class F> inline void each_eight(const Line &l, const Segment<float> &s, F &&fn) {
    Found found;
    for (int x = s.lo; x < s.hi; x += kChunk) {
        const int count = find(l, x, s.hi, found);
        for (int k = 0; k < count; k += 8)
            fn(x + k, taps(l, found, k));
    }
}

template <int C> inline V channel8(I texels) {
    if (C == 0)
        return _mm256_cvtepi32_ps(_mm256_and_si256(texels, _mm256_set1_epi32(255)));
    if (C == 3)
        return _mm256_cvtepi32_ps(_mm256_srli_epi32(texels, 24));
    const char k = C; // byte C of each texel, zero-extended
    const I pick = _mm256_setr_epi8(k, -1, -1, -1, k + 4, -1, -1, -1, k + 8, -1, -1, -1, k + 12, -1, -1, -1, k, -1, -1,
                                    -1, k + 4, -1, -1, -1, k + 8, -1, -1, -1, k + 12, -1, -1, -1);
    return _mm256_cvtepi32_ps(_mm256_shuffle_epi8(texels, pick));
}

template <int C> inline V sample8(const Taps8 &t) {
    const V a = channel8<C>(t.t00), b = channel8<C>(t.t01);
    const V top = add(a, mul(t.fx, sub(channel8<C>(t.t10), a)));
    const V low = add(b, mul(t.fx, sub(channel8<C>(t.t11), b)));
    return add(top, mul(t.fy, sub(low, top)));
}

template <int C> inline V sample_grad8(const Taps8 &t, V &du, V &dv) {
    const V a = channel8<C>(t.t00), b = channel8<C>(t.t01);
    const V across = sub(channel8<C>(t.t10), a), across_low = sub(channel8<C>(t.t11), b);
    const V top = add(a, mul(t.fx, across)), low = add(b, mul(t.fx, across_low));
    du = add(across, mul(t.fy, sub(across_low, across)));
    dv = sub(low, top);
    return add(top, mul(t.fy, dv));
}

inline V opacity8(V alpha) { return mul(alpha, set(float(1.0 / 255.0))); }

// over() where inside, the old colour elsewhere.
inline V over8(const Line &l, V inside, V below, V value, V a, V keep, int c) {
    const V laid = add(mul(below, keep), sub(mul(value, l.scale[c]), mul(a, l.offset[c])));
    return _mm256_blendv_ps(below, laid, inside);
}

void blend(const Segment<float> &s, float *rows, int64_t pitch) {
    const Line l(s);
    const V one = set(1.f);
    each_eight(l, s, [&](int x, const Taps8 &t) {
        float *r = rows + x, *g = r + pitch, *b = g + pitch;
        const V a = opacity8(sample8<3>(t)), keep = sub(one, a);
        _mm256_store_ps(r, over8(l, t.inside, _mm256_load_ps(r), sample8<0>(t), a, keep, 0));
        _mm256_store_ps(g, over8(l, t.inside, _mm256_load_ps(g), sample8<1>(t), a, keep, 1));
        _mm256_store_ps(b, over8(l, t.inside, _mm256_load_ps(b), sample8<2>(t), a, keep, 2));
    });
}

struct Sums8 {
    V u = _mm256_setzero_ps(), ux = u, v = u, vx = u;

    void add_inside(V inside, V x, V v_u, V v_v) {
        v_u = _mm256_and_ps(v_u, inside);
        v_v = _mm256_and_ps(v_v, inside);
        u = add(u, v_u);
        ux = add(ux, mul(v_u, x));
        v = add(v, v_v);
        vx = add(vx, mul(v_v, x));
    }
    static float total(V lanes) {
        const __m128 fours = _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1));
        const __m128 twos = _mm_add_ps(fours, _mm_movehl_ps(fours, fours));
        return _mm_cvtss_f32(_mm_add_ss(twos, _mm_shuffle_ps(twos, twos, 1)));
    }
    void into(float sums[4]) const {
        sums[0] += total(u);
        sums[1] += total(ux);
        sums[2] += total(v);
        sums[3] += total(vx);
    }
};

inline V dot(const V v[3], const V d[4], V v_a) {
    return sub(add(add(mul(v[0], d[0]), mul(v[1], d[1])), mul(v[2], d[2])), mul(v_a, d[3]));
}

// paste_pixel_backward
inline void backward8(const Line &l, const V v_out[3], const V below[3], const V du[4], const V dv[4], V &v_u, V &v_v) {
    V v[3], seen[3];
    for (int c = 0; c < 3; ++c) {
        v[c] = mul(v_out[c], l.scale[c]);
        seen[c] = mul(v_out[c], add(below[c], l.offset[c]));
    }
    const V v_a = opacity8(add(add(seen[0], seen[1]), seen[2]));
    v_u = dot(v, du, v_a);
    v_v = dot(v, dv, v_a);
}

int64_t trail_pitch(const Segment<float> &s) { return (s.hi - s.lo + 7) / 8 * 8; }

template <int C>
inline void trace_channel(const Line &l, const Taps8 &t, V a, V keep, float *row, float *trail, int64_t step) {
    V du, dv;
    const V below = _mm256_load_ps(row), value = sample_grad8<C>(t, du, dv);
    _mm256_store_ps(trail + (1 + C) * step, below);
    _mm256_store_ps(trail + (4 + C) * step, du);
    _mm256_store_ps(trail + (8 + C) * step, dv);
    _mm256_store_ps(row, over8(l, t.inside, below, value, a, keep, C));
}

void trace(const Segment<float> &s, float *rows, int64_t pitch, float *trail) {
    const Line l(s);
    const V one = set(1.f);
    const int64_t step = trail_pitch(s);
    each_eight(l, s, [&](int x, const Taps8 &t) {
        float *to = trail + (x - s.lo);
        V du, dv;
        const V a = opacity8(sample_grad8<3>(t, du, dv)), keep = sub(one, a);
        _mm256_store_ps(to, keep);
        _mm256_store_ps(to + 7 * step, du);
        _mm256_store_ps(to + 11 * step, dv);
        trace_channel<0>(l, t, a, keep, rows + x, to, step);
        trace_channel<1>(l, t, a, keep, rows + pitch + x, to, step);
        trace_channel<2>(l, t, a, keep, rows + 2 * pitch + x, to, step);
    });
}

void gradient(const Segment<float> &s, const float *trail, float *v_rows, int64_t pitch, float sums[4]) {
    const Line l(s);
    const int64_t step = trail_pitch(s);
    Sums8 total;
    for (int x = s.lo; x < s.hi; x += 8) {
        // The same mask as in trace, without the texels.
        const V at = centres(x);
        const V inside = is_inside(l, at, add(mul(l.m0, at), l.ru), add(mul(l.m3, at), l.rv));
        if (_mm256_testz_ps(inside, inside))
            continue;
        const float *from = trail + (x - s.lo);
        const V keep = _mm256_load_ps(from);
        V v_out[3], below[3], du[4], dv[4], v_u, v_v;
        for (int c = 0; c < 3; ++c) {
            float *row = v_rows + c * pitch + x;
            v_out[c] = _mm256_load_ps(row);
            below[c] = _mm256_load_ps(from + (1 + c) * step);
            _mm256_store_ps(row, _mm256_blendv_ps(v_out[c], mul(v_out[c], keep), inside));
        }
        for (int c = 0; c < 4; ++c) {
            du[c] = _mm256_load_ps(from + (4 + c) * step);
            dv[c] = _mm256_load_ps(from + (8 + c) * step);
        }
        backward8(l, v_out, below, du, dv, v_u, v_v);
        total.add_inside(inside, at, v_u, v_v);
    }
    total.into(sums);
}

void alone(const Segment<float> &s, const float *rows, float *v_rows, int64_t pitch, float sums[4]) {
    const Line l(s);
    const V one = set(1.f);
    Sums8 total;
    each_eight(l, s, [&](int x, const Taps8 &t) {
        V v_out[3], below[3], du[4], dv[4], v_u, v_v;
        sample_grad8<0>(t, du[0], dv[0]);
        sample_grad8<1>(t, du[1], dv[1]);
        sample_grad8<2>(t, du[2], dv[2]);
        const V keep = sub(one, opacity8(sample_grad8<3>(t, du[3], dv[3])));
        for (int c = 0; c < 3; ++c) {
            float *row = v_rows + c * pitch + x;
            v_out[c] = _mm256_load_ps(row);
            below[c] = _mm256_load_ps(rows + c * pitch + x);
            _mm256_store_ps(row, _mm256_blendv_ps(v_out[c], mul(v_out[c], keep), t.inside));
        }
        backward8(l, v_out, below, du, dv, v_u, v_v);
        total.add_inside(t.inside, centres(x), v_u, v_v);
    });
    total.into(sums);
}

// Streaming stores for outputs that no cache holds anyway: reading their lines before overwriting them would be a third
// of the traffic.
void copy(const void *from, void *to, int64_t bytes, bool stream) {
    if (!stream) {
        std::memcpy(to, from, size_t(bytes));
        return;
    }
    const char *in = static_cast<const char *>(from);
    char *out = static_cast<char *>(to);
    const int64_t head = std::min<int64_t>(bytes, (32 - reinterpret_cast<uintptr_t>(out)) & 31);
    std::memcpy(out, in, size_t(head));
    in += head;
    out += head;
    bytes -= head;
    for (; bytes >= 64; bytes -= 64, in += 64, out += 64) {
        const I a = _mm256_loadu_si256(reinterpret_cast<const I *>(in));
        const I b = _mm256_loadu_si256(reinterpret_cast<const I *>(in + 32));
        _mm256_stream_si256(reinterpret_cast<I *>(out), a);
        _mm256_stream_si256(reinterpret_cast<I *>(out + 32), b);
    }
    std::memcpy(out, in, size_t(bytes));
}

void flush() { _mm_sfence(); }

// Interleaved uint8 RGB -> three planes; eight pixels are the 24 bytes at p, of which 28 are read.
inline void load_rgb8(const uint8_t *p, const Colour<float> &colour, float *rows, int64_t pitch) {
    const I two = _mm256_set_m128i(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + 12)),
                                   _mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    for (int c = 0; c < 3; ++c) {
        const char k = char(c);
        const __m128i pick = _mm_setr_epi8(k, -1, -1, -1, k + 3, -1, -1, -1, k + 6, -1, -1, -1, k + 9, -1, -1, -1);
        const V v = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(two, _mm256_set_m128i(pick, pick)));
        _mm256_storeu_ps(rows + c * pitch, sub(mul(v, set(colour.scale[c])), set(colour.offset[c])));
    }
}

inline V widen_bf16(const uint16_t *p) {
    const I wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16));
}

inline __m128i narrow_bf16(V f) {
    const I u = _mm256_castps_si256(f), magnitude = _mm256_and_si256(u, _mm256_set1_epi32(0x7fffffff));
    const I nan = _mm256_cmpgt_epi32(magnitude, _mm256_set1_epi32(0x7f800000));
    const I odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
    const I rounded = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(u, _mm256_set1_epi32(0x7fff)), odd), 16);
    const I quiet = _mm256_or_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(0x40));
    const I half = _mm256_blendv_epi8(rounded, quiet, nan);
    return _mm_packus_epi32(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
}

void load(const RowRef &from, const Colour<float> &colour, int lo, int hi, float *rows, int64_t pitch) {
    if (from.dtype == U8 && from.pixel == 3 && from.channel == 1) {
        const uint8_t *p = reinterpret_cast<const uint8_t *>(from.data);
        int x = lo;
        for (; x + 10 <= hi; x += 8) // 28 bytes from pixel x on lie within this row
            load_rgb8(p + 3 * x, colour, rows + x, pitch);
        return kPortableF32.load(from, colour, x, hi, rows, pitch);
    }
    if (from.pixel == 1 && from.dtype == F32) {
        for (int c = 0; c < 3; ++c)
            std::memcpy(rows + c * pitch + lo, reinterpret_cast<const float *>(from.data) + c * from.channel + lo,
                        size_t(hi - lo) * sizeof(float));
        return;
    }
    if (from.pixel == 1 && (from.dtype == F16 || from.dtype == BF16)) {
        for (int c = 0; c < 3; ++c) {
            const uint16_t *p = reinterpret_cast<const uint16_t *>(from.data) + c * from.channel;
            float *row = rows + c * pitch;
            int x = lo;
            for (; x + 8 <= hi; x += 8)
                _mm256_storeu_ps(row + x,
                                 from.dtype == BF16
                                     ? widen_bf16(p + x)
                                     : _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p + x))));
            for (; x < hi; ++x)
                row[x] = from.dtype == BF16 ? from_bf16(p[x]) : from_f16(p[x]);
        }
        return;
    }
    kPortableF32.load(from, colour, lo, hi, rows, pitch);
}

// Eight values 0..1 -> eight bytes, each the low one of 32 bits: to_u8.
inline I narrow_u8(const float *row) {
    const V v = mul(_mm256_loadu_ps(row), set(255.f));
    return _mm256_cvtps_epi32(_mm256_min_ps(_mm256_max_ps(v, _mm256_setzero_ps()), set(255.f)));
}

// Three planes -> eight interleaved RGB pixels, 24 bytes.
inline void store_rgb8(const float *row, int64_t pitch, uint8_t *p) {
    const I green = _mm256_slli_epi32(narrow_u8(row + pitch), 8), blue = narrow_u8(row + 2 * pitch);
    const I rgb = _mm256_or_si256(_mm256_or_si256(narrow_u8(row), green), _mm256_slli_epi32(blue, 16));
    const __m128i pick = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    const I packed = _mm256_shuffle_epi8(rgb, _mm256_set_m128i(pick, pick)); // twelve bytes in each half
    alignas(32) uint8_t bytes[32];
    _mm256_store_si256(reinterpret_cast<I *>(bytes), packed);
    std::memcpy(p, bytes, 12);
    std::memcpy(p + 12, bytes + 16, 12);
}

void store(const float *rows, int64_t pitch, int lo, int hi, const RowRef &to, bool stream) {
    if (to.pixel == 1 && to.dtype == F32) {
        for (int c = 0; c < 3; ++c)
            copy(rows + c * pitch + lo, reinterpret_cast<float *>(to.data) + c * to.channel + lo,
                 int64_t(hi - lo) * int64_t(sizeof(float)), stream);
        return;
    }
    if (to.pixel == 1 && (to.dtype == F16 || to.dtype == BF16)) {
        for (int c = 0; c < 3; ++c) {
            uint16_t *p = reinterpret_cast<uint16_t *>(to.data) + c * to.channel;
            const float *row = rows + c * pitch;
            int x = lo;
            for (; x + 8 <= hi; x += 8) {
                const V v = _mm256_loadu_ps(row + x);
                _mm_storeu_si128(reinterpret_cast<__m128i *>(p + x),
                                 to.dtype == BF16 ? narrow_bf16(v)
                                                  : _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
            }
            for (; x < hi; ++x)
                p[x] = to.dtype == BF16 ? to_bf16(row[x]) : to_f16(row[x]);
        }
        return;
    }
    if (to.dtype == U8 && to.pixel == 3 && to.channel == 1) {
        int x = lo;
        for (; x + 8 <= hi; x += 8)
            store_rgb8(rows + x, pitch, reinterpret_cast<uint8_t *>(to.data) + 3 * x);
        lo = x;
    }
    kPortableF32.store(rows, pitch, lo, hi, to, stream);
}

} // namespace

const RowOps<float> kAvx2 = {load, store, copy, blend, trace, gradient, alone, flush};

} // namespace asda
