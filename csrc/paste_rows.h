// What the paste engine (paste.cpp) asks of a row: once portable (paste_portable.cpp), once for AVX2 (paste_avx2.cpp).
//
// A "rows" buffer holds three planes R, G, B of one image row in S = float (or double), `pitch` elements apart, 64-byte
// aligned, pitch a multiple of 8. Ranges begin at a multiple of 8 and may end past the row's width, never past its
// pitch. Both versions execute the same operations in the same order, so they give the same bits.
#pragma once
#include "paste_math.h"

#include <cstdint>

namespace asda {

enum DType : int { F64 = 0, F32 = 1, BF16 = 2, F16 = 3, U8 = 4 };

// One image row in memory; strides in elements between channels and between pixels.
struct RowRef {
    char *data;
    DType dtype;
    int64_t channel, pixel;
};

template <class S> struct Segment { // one slot on one row: its part of the row and how to see it
    const Slot<S> *slot;
    const unsigned *texels;
    const Colour<S> *colour;
    S y;        // the row's centre
    int lo, hi; // pixels that may be inside
    int width;  // of the image
};

// What `trace` leaves for `gradient`, pixel by pixel: 1 - a, the three colours below, du[4], dv[4].
constexpr int kTrail = 12;

template <class S> struct RowOps {
    // memory -> rows (uint8 through `colour`), rows -> memory, memory -> memory of the same type.
    // stream: past the caches
    void (*load)(const RowRef &from, const Colour<S> &colour, int lo, int hi, S *rows, int64_t pitch);
    void (*store)(const S *rows, int64_t pitch, int lo, int hi, const RowRef &to, bool stream);
    void (*copy)(const void *from, void *to, int64_t bytes, bool stream);
    // Lays the slot over the row.
    void (*blend)(const Segment<S> &segment, S *rows, int64_t pitch);
    // The same, and keeps what the way back needs; trail holds kTrail planes of hi - lo (rounded up to 8) elements.
    void (*trace)(const Segment<S> &segment, S *rows, int64_t pitch, S *trail);
    // The way back over a traced slot: v_rows *= 1 - a, and sums[0..3] += sums of v_u, v_u * x, v_v, v_v * x.
    void (*gradient)(const Segment<S> &segment, const S *trail, S *v_rows, int64_t pitch, S sums[4]);
    // trace and gradient at once for a slot that no other slot of the row touches: `rows` is what lies below.
    void (*alone)(const Segment<S> &segment, const S *rows, S *v_rows, int64_t pitch, S sums[4]);
    // Makes streamed stores visible to the thread that is told of them.
    void (*flush)();
};

extern const RowOps<float> kPortableF32;
extern const RowOps<double> kPortableF64;
#if defined(__x86_64__)
extern const RowOps<float> kAvx2;
#endif

} // namespace asda
