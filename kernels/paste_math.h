#ifndef ASDA_PASTE_MATH_H
#define ASDA_PASTE_MATH_H
#if defined(__CUDACC__)
#define ASDA_FN static __host__ __device__ __forceinline__
#else
#define ASDA_FN static inline
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

// matrix: [2, 3]; part: index into table, negative = empty; table: [parts, 4] first texel, height, width, mip levels.
// A matrix with NaN or inf is SLOT_BAD_MATRIX, an index past the pool SLOT_BAD_INDEX: both paste nothing, the caller
// counts them. mips: below half size (area factor 4) the slot samples a smaller copy of the patch; the choice has no
// gradient.
template <class S>
ASDA_FN SlotState make_slot(Slot<S> &slot, const S *matrix, long long part, const long long *table, long long parts,
                            bool mips) {
    if (part < 0)
        return SLOT_EMPTY;
    if (part >= parts)
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

// Block coordinates of the target point (x, y), which is a pixel's centre. False outside the support; NaN and overflow
// are outside too, because the comparison comes before any cast to an integer.
template <class S> ASDA_FN bool locate(const Slot<S> &slot, S x, S y, S &u, S &v) {
    u = slot.m[0] * x + (slot.m[1] * y + slot.m[2]);
    v = slot.m[3] * x + (slot.m[4] * y + slot.m[5]);
    return u >= S(0) && u < slot.right && v >= S(0) && v < slot.below;
}

// Channel 0..3 = R, G, B, A of a packed texel, 0..255.
template <class S> ASDA_FN S channel(unsigned texel, int c) { return S(int((texel >> (8 * c)) & 255u)); }

// The four taps around (u, v) and the weights of the right and lower ones.
template <class S> struct Taps {
    unsigned t00, t10, t01, t11; // second digit: lower row
    S fx, fy;
};

template <class S> ASDA_FN Taps<S> fetch(const Slot<S> &slot, const unsigned *texels, S u, S v) {
    Taps<S> taps;
    const int x = int(u), y = int(v); // u, v >= 0: truncation is floor
    const unsigned *t = texels + slot.first + ((long long)y * slot.stride + x);
    taps.t00 = t[0];
    taps.t10 = t[1];
    taps.t01 = t[slot.stride];
    taps.t11 = t[slot.stride + 1];
    taps.fx = u - S(x);
    taps.fy = v - S(y);
    return taps;
}

// One channel of the bilinear sample, 0..255.
template <class S> ASDA_FN S sample(const Taps<S> &t, int c) {
    const S a = channel<S>(t.t00, c), b = channel<S>(t.t01, c);
    const S top = a + t.fx * (channel<S>(t.t10, c) - a);
    const S low = b + t.fx * (channel<S>(t.t11, c) - b);
    return top + t.fy * (low - top);
}

// The same value and its derivatives by u and v.
template <class S> ASDA_FN S sample_grad(const Taps<S> &t, int c, S &du, S &dv) {
    const S a = channel<S>(t.t00, c), b = channel<S>(t.t01, c);
    const S across = channel<S>(t.t10, c) - a;
    const S across_low = channel<S>(t.t11, c) - b;
    const S top = a + t.fx * across;
    const S low = b + t.fx * across_low;
    du = across + t.fy * (across_low - across);
    dv = low - top;
    return top + t.fy * dv;
}

// Premultiplied alpha 0..255 -> opacity 0..1 (255 -> exactly 1).
template <class S> ASDA_FN S opacity(S alpha) { return alpha * S(1.0 / 255.0); }

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
    paste_taps(pixel, fetch(slot, texels, u, v), colour);
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
