#ifndef ASDA_PASTE_MATH_H
#define ASDA_PASTE_MATH_H
#if defined(__CUDACC__)
#define ASDA_FN static __host__ __device__ __forceinline__
#define ASDA_TEXEL(address) __ldg(address)
#else
#define ASDA_FN static inline
#define ASDA_TEXEL(address) (*(address))
#endif
// On a GPU a permute makes 2^23 + byte, and one comparison of bits is two of floats. threadIdx.y is 0: with a constant
// in its place, one more instruction would load it before each permute.
#if defined(__CUDACC__) || defined(ASDA_PERMUTE)
#define ASDA_BIAS 8388608
#define ASDA_BYTE(texel, c) __uint_as_float(__byte_perm(texel, 0x4b000000u + threadIdx.y, 0x7440u + unsigned(c)))
#define ASDA_WITHIN(value, limit) (__float_as_uint(value) < __float_as_uint(limit))
#else
#define ASDA_BIAS 0
#define ASDA_BYTE(texel, c) float(int((texel) >> (8 * (c)) & 255u))
#define ASDA_WITHIN(value, limit) (((value) >= 0.f) & ((value) < (limit)))
#endif
// What one pixel of `paste` computes, forward and backward. Included by csrc/ (g++) and kernels/*.cu (NVRTC) alike, so
// that the float64 gradcheck on a CPU runs the very code that ships on a GPU. No includes, no threads, no globals.
//
// Conventions. Coordinates are continuous (x, y); pixel i covers [i, i + 1), its centre is i + 0.5. A matrix [2, 3]
// maps a target pixel to a patch pixel. A patch lies in the pool with a transparent border of one texel on every side,
// so its block is (height + 2) x (width + 2) texels and the four taps of a bilinear sample never need a bounds check.
// A texel is premultiplied RGBA, one byte each, read as one little-endian 32-bit word.
//
// The order of the operations is part of the contract: built without FMA contraction, every path gives the same bits.

namespace asda {

// What the colours of one call are mapped with. Stored 0..255 -> network's input: v * scale - offset = (v / 255 - mean)
// / std.
template <class S> struct Colour {
    S scale[3];  // 1 / (255 * std)
    S offset[3]; // mean / std
};

// One part on one image, ready to be walked over.
template <class S> struct Slot {
    S m[6];          // target pixel -> block texel of the chosen mip level, half a texel for the border included
    S right, below;  // the support is 0 <= u < right, 0 <= v < below: where at least one tap may be inside the patch
    S shrink[2];     // d m / d matrix of its rows: level's size / patch's size
    long long first; // texel index of the level's block
    int stride;      // texels per row of the block: level's width + 2
    int level;       // 0 = full size
};

enum SlotState { SLOT_READY = 0, SLOT_EMPTY = 1, SLOT_BAD_MATRIX = 2, SLOT_BAD_INDEX = 3 };

// matrix: [2, 3]; part: index into table, -1 = empty; table: [parts, 4] first texel, height, width, mip levels.
// A matrix with NaN or inf is SLOT_BAD_MATRIX, another index SLOT_BAD_INDEX: both paste nothing, the caller
// counts them. mips: below half size (area factor 4) the slot samples a smaller copy of the patch; the choice has no
// gradient.
template <class S>
ASDA_FN SlotState make_slot(Slot<S> &slot, const S *matrix, long long part, const long long *table, long long parts,
                            bool mips) {
    if (part == -1)
        return SLOT_EMPTY;
    if (part < 0 || part >= parts)
        return SLOT_BAD_INDEX;
    S zero = S(0);
    for (int i = 0; i < 6; ++i)
        zero = zero + matrix[i] * S(0); // NaN unless all six are finite
    if (!(zero == S(0)))
        return SLOT_BAD_MATRIX;
    const long long *row = table + part * 4;
    const int height = int(row[1]), width = int(row[2]);
    if (height < 1 || width < 1)
        return SLOT_EMPTY;
    int h = height, w = width;
    slot.first = row[0];
    slot.level = 0;
    if (mips) {
        S area = matrix[0] * matrix[4] - matrix[1] * matrix[3]; // texels per target pixel
        area = area < S(0) ? -area : area;
        while (area >= S(4) && slot.level + 1 < row[3]) {
            slot.first += (long long)(h + 2) * (w + 2);
            h = (h + 1) / 2;
            w = (w + 1) / 2;
            area = area * S(0.25);
            ++slot.level;
        }
    }
    slot.stride = w + 2;
    slot.right = S(w + 1);
    slot.below = S(h + 1);
    slot.shrink[0] = S(w) / S(width);
    slot.shrink[1] = S(h) / S(height);
    for (int i = 0; i < 6; ++i)
        slot.m[i] = matrix[i] * slot.shrink[i / 3];
    slot.m[2] = slot.m[2] + S(0.5);
    slot.m[5] = slot.m[5] + S(0.5);
    return SLOT_READY;
}

// 0 <= value < limit, for a limit above 0. As bits, a negative number and a NaN lie above every limit; so does -0,
// which no sum with slot.m[2] or m[5] is (they are x + 0.5).
ASDA_FN bool within(float value, float limit) { return ASDA_WITHIN(value, limit); }
ASDA_FN bool within(double value, double limit) { return (value >= 0.0) & (value < limit); }

// Block coordinates of the target point (x, y), which is a pixel's centre. False outside the support; NaN and overflow
// are outside too, because the comparison comes before any cast to an integer.
template <class S> ASDA_FN bool locate(const Slot<S> &slot, S x, S y, S &u, S &v) {
    u = slot.m[0] * x + (slot.m[1] * y + slot.m[2]);
    v = slot.m[3] * x + (slot.m[4] * y + slot.m[5]);
    return within(u, slot.right) & within(v, slot.below);
}

// Channel 0..3 = R, G, B, A of a packed texel, 0..255, raised by a bias that the difference of two channels loses and
// `lowered` takes off: both are exact, so the bits are those of a conversion.
ASDA_FN float raised(unsigned texel, int c, float) { return ASDA_BYTE(texel, c); }
ASDA_FN double raised(unsigned texel, int c, double) { return double(int(texel >> (8 * c) & 255u)); }
ASDA_FN float lowered(float value) { return value - float(ASDA_BIAS); }
ASDA_FN double lowered(double value) { return value; }

// The four taps around (u, v) and the weights of the right and lower ones.
template <class S> struct Taps {
    unsigned t00, t10, t01, t11; // second digit: lower row
    S fx, fy;
};

// block: the slot's texels.
template <class S> ASDA_FN Taps<S> fetch(const unsigned *block, int stride, S u, S v) {
    Taps<S> taps;
    const int x = int(u), y = int(v); // u, v >= 0: truncation is floor
    const unsigned *t = block + (unsigned(y) * unsigned(stride) + unsigned(x));
    taps.t00 = ASDA_TEXEL(t);
    taps.t10 = ASDA_TEXEL(t + 1);
    taps.t01 = ASDA_TEXEL(t + stride);
    taps.t11 = ASDA_TEXEL(t + stride + 1);
    taps.fx = u - S(x);
    taps.fy = v - S(y);
    return taps;
}

// One channel of the bilinear sample, 0..255.
template <class S> ASDA_FN S sample(const Taps<S> &t, int c) {
    const S a = raised(t.t00, c, S()), b = raised(t.t01, c, S());
    const S top = lowered(a) + t.fx * (raised(t.t10, c, S()) - a);
    const S low = lowered(b) + t.fx * (raised(t.t11, c, S()) - b);
    return top + t.fy * (low - top);
}

// The same value and its derivatives by u and v.
template <class S> ASDA_FN S sample_grad(const Taps<S> &t, int c, S &du, S &dv) {
    const S a = raised(t.t00, c, S()), b = raised(t.t01, c, S());
    const S across = raised(t.t10, c, S()) - a;
    const S across_low = raised(t.t11, c, S()) - b;
    const S top = lowered(a) + t.fx * across;
    const S low = lowered(b) + t.fx * across_low;
    du = across + t.fy * (across_low - across);
    dv = low - top;
    return top + t.fy * dv;
}

// Premultiplied alpha 0..255 -> opacity 0..1 (255 -> exactly 1).
template <class S> ASDA_FN S opacity(S alpha) { return alpha * S(1.0 / 255.0); }

// The opacity at (u, v) alone: opacity(sample(fetch(..), 3)), of which only the alpha bytes are read.
template <class S> ASDA_FN S fetch_opacity(const unsigned *block, int stride, S u, S v) {
    const int x = int(u), y = int(v);
    const unsigned *t = block + (unsigned(y) * unsigned(stride) + unsigned(x));
    const unsigned char *upper = (const unsigned char *)t + 3, *lower = (const unsigned char *)(t + stride) + 3;
    const S a = S(int(ASDA_TEXEL(upper))), b = S(int(ASDA_TEXEL(lower)));
    const S top = a + (u - S(x)) * (S(int(ASDA_TEXEL(upper + 4))) - a);
    const S low = b + (u - S(x)) * (S(int(ASDA_TEXEL(lower + 4))) - b);
    return opacity(top + (v - S(y)) * (low - top));
}

// below * (1 - a) + p, p = the part's premultiplied colour (0..255) mapped by `colour`.
template <class S> ASDA_FN S over(S below, S value, S a, const Colour<S> &colour, int c) {
    return below * (S(1) - a) + (value * colour.scale[c] - a * colour.offset[c]);
}

// Forward: lays the part's sample over pixel[3].
template <class S> ASDA_FN void paste_taps(S pixel[3], const Taps<S> &taps, const Colour<S> &colour) {
    const S a = opacity(sample(taps, 3));
    for (int c = 0; c < 3; ++c)
        pixel[c] = over(pixel[c], sample(taps, c), a, colour, c);
}
template <class S>
ASDA_FN void paste_pixel(S pixel[3], const Slot<S> &slot, const unsigned *texels, const Colour<S> &colour, S u, S v) {
    paste_taps(pixel, fetch(texels + slot.first, slot.stride, u, v), colour);
}

// What one pixel of one slot adds to the gradient by (u, v). v_out: gradient by the colour above this slot (after it
// was laid), below: the colour it was laid over.
template <class S>
ASDA_FN void paste_pixel_backward(const S v_out[3], const S below[3], const S du[4], const S dv[4],
                                  const Colour<S> &colour, S &v_u, S &v_v) {
    // p_c = value_c * scale_c - a * offset_c  and  out_c = below_c * (1 - a) + p_c
    const S v0 = v_out[0] * colour.scale[0], v1 = v_out[1] * colour.scale[1], v2 = v_out[2] * colour.scale[2];
    const S v_a = opacity(v_out[0] * (below[0] + colour.offset[0]) + v_out[1] * (below[1] + colour.offset[1]) +
                          v_out[2] * (below[2] + colour.offset[2]));
    v_u = v0 * du[0] + v1 * du[1] + v2 * du[2] - v_a * du[3];
    v_v = v0 * dv[0] + v1 * dv[1] + v2 * dv[2] - v_a * dv[3];
}

} // namespace asda
#endif
