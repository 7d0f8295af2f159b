// How pixels lie in memory: storage types, 3-channel packs of PX pixels, wide loads and stores.
//
// A thread owns PX pixels of one row. Wide access (the image's width is a multiple of PX and the pointers are aligned)
// moves them as 16-byte words and unpacks them in registers; the other path moves single elements, so that any size
// works.
#ifndef ASDA_PASTE_TYPES_CUH
#define ASDA_PASTE_TYPES_CUH

namespace asda {

typedef unsigned char byte_t;
struct half_t {
    unsigned short bits;
};
struct bfloat_t {
    unsigned short bits;
};

// float <-> half. The GPU has an instruction; the host (the test shim) does the same rounding, to nearest even, by
// hand.
#if defined(__CUDA_ARCH__)
ASDA_FN float half_to_float(unsigned short bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}
ASDA_FN unsigned short float_to_half(float value) {
    unsigned short bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#else
ASDA_FN float half_to_float(unsigned short bits) {
    const unsigned sign = (bits & 0x8000u) << 16, magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u)
        return __uint_as_float(sign | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    if (magnitude < 0x400u)
        return __uint_as_float(sign | __float_as_uint(float(magnitude) * 5.9604644775390625e-8f)); // 2^-24
    return __uint_as_float(sign | ((magnitude << 13) + (112u << 23)));
}
ASDA_FN unsigned short float_to_half(float value) {
    const unsigned all = __float_as_uint(value), sign = all >> 16 & 0x8000u, magnitude = all & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return (unsigned short)(sign | 0x7fffu);
    if (magnitude >= 0x477ff000u) // 65520 rounds to infinity
        return (unsigned short)(sign | 0x7c00u);
    if (magnitude < 0x38800000u) // denormal: adding 0.5 leaves the rounded value in the low bits
        return (unsigned short)(sign | (__float_as_uint(__uint_as_float(magnitude) + 0.5f) - 0x3f000000u));
    return (unsigned short)(sign | ((magnitude + 0xfffu + (magnitude >> 13 & 1u) - (112u << 23)) >> 13));
}
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
ASDA_FN unsigned short float_to_bfloat(float value) {
    unsigned short bits;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}
#else // Turing has no such instruction
ASDA_FN unsigned short float_to_bfloat(float value) {
    const unsigned all = __float_as_uint(value);
    if ((all & 0x7fffffffu) > 0x7f800000u)
        return 0x7fffu;
    return (unsigned short)((all + 0x7fffu + (all >> 16 & 1u)) >> 16);
}
#endif

// What arithmetic a storage type is computed in: float, and double for double.
template <class T> struct Compute {
    typedef float type;
};
template <> struct Compute<double> {
    typedef double type;
};

ASDA_FN float widen(float value) { return value; }
ASDA_FN double widen(double value) { return value; }
ASDA_FN float widen(half_t value) { return half_to_float(value.bits); }
ASDA_FN float widen(bfloat_t value) { return __uint_as_float((unsigned)value.bits << 16); }
ASDA_FN float widen(byte_t value) { return float(int(value)); }

template <class T> struct Narrow; // computed value -> the stored element's bits
template <> struct Narrow<float> {
    ASDA_FN float store(float value) { return value; }
};
template <> struct Narrow<double> {
    ASDA_FN double store(double value) { return value; }
};
template <> struct Narrow<half_t> {
    ASDA_FN half_t store(float value) { return {float_to_half(value)}; }
};
template <> struct Narrow<bfloat_t> {
    ASDA_FN bfloat_t store(float value) { return {float_to_bfloat(value)}; }
};
template <> struct Narrow<byte_t> { // 0..1 -> 0..255, to the nearest even; 0 for a NaN
    ASDA_FN byte_t store(float value) {
        const float v = value * 255.f;
        return byte_t(__float2int_rn(v > 0.f ? (v < 255.f ? v : 255.f) : 0.f));
    }
};

// Element `at` of an array of elements of type T that lies in 32-bit words. `at` is a constant after unrolling.
ASDA_FN float element(const unsigned *word, int at, float) { return __uint_as_float(word[at]); }
ASDA_FN double element(const unsigned *word, int at, double) {
    return __hiloint2double(int(word[2 * at + 1]), int(word[2 * at]));
}
ASDA_FN float element(const unsigned *word, int at, half_t) {
    return half_to_float((unsigned short)(word[at / 2] >> (at % 2 * 16)));
}
ASDA_FN float element(const unsigned *word, int at, bfloat_t) {
    return __uint_as_float(at % 2 ? word[at / 2] & 0xffff0000u : word[at / 2] << 16);
}
ASDA_FN float element(const unsigned *word, int at, byte_t) { return lowered(raised(word[at / 4], at % 4, 0.f)); }

// The other way; the elements of one word are set in ascending order.
ASDA_FN void set_element(unsigned *word, int at, float value) { word[at] = __float_as_uint(value); }
ASDA_FN void set_element(unsigned *word, int at, double value) {
    word[2 * at] = (unsigned)__double2loint(value);
    word[2 * at + 1] = (unsigned)__double2hiint(value);
}
ASDA_FN void set_half(unsigned *word, int at, unsigned short bits) {
    word[at / 2] = at % 2 ? word[at / 2] | (unsigned)bits << 16 : (unsigned)bits;
}
ASDA_FN void set_element(unsigned *word, int at, half_t value) { set_half(word, at, value.bits); }
ASDA_FN void set_element(unsigned *word, int at, bfloat_t value) { set_half(word, at, value.bits); }

// BYTES bytes between memory and registers in the widest accesses that divide them: 16, 8 or 4 bytes each.
template <int BYTES> ASDA_FN void load_words(unsigned *word, const void *from) {
    if (BYTES % 16 == 0) {
#pragma unroll
        for (int i = 0; i < BYTES / 16; ++i) {
            const uint4 v = ((const uint4 *)from)[i];
            word[4 * i] = v.x, word[4 * i + 1] = v.y, word[4 * i + 2] = v.z, word[4 * i + 3] = v.w;
        }
    } else if (BYTES % 8 == 0) {
#pragma unroll
        for (int i = 0; i < BYTES / 8; ++i) {
            const uint2 v = ((const uint2 *)from)[i];
            word[2 * i] = v.x, word[2 * i + 1] = v.y;
        }
    } else {
#pragma unroll
        for (int i = 0; i < BYTES / 4; ++i)
            word[i] = ((const unsigned *)from)[i];
    }
}
// To global memory only. Intrinsics, because the compiler takes a plain 16-byte store apart where it pleases.
template <int BYTES> ASDA_FN void store_words(void *to, const unsigned *word) {
    if (BYTES % 16 == 0) {
#pragma unroll
        for (int i = 0; i < BYTES / 16; ++i)
            __stcg((uint4 *)to + i, make_uint4(word[4 * i], word[4 * i + 1], word[4 * i + 2], word[4 * i + 3]));
    } else {
#pragma unroll
        for (int i = 0; i < BYTES / 8; ++i)
            __stcg((uint2 *)to + i, make_uint2(word[2 * i], word[2 * i + 1]));
    }
}

// The PX pixels of one thread as they came from memory. They stay packed until they are used: the loads are in flight
// while the slots are prepared, and a half pixel costs half a register.
template <class T, int PX, bool NHWC, bool WIDE> struct Pixels {
    static constexpr int PACK = PX * int(sizeof(T)); // bytes of one channel
    unsigned word[3 * PACK / 4];

    // base: [3, H, W] or [H, W, 3] of one image; pixel: y * W + x of the first pixel; plane: H * W (three of which
    // are below 2^32); count, step: pixels
    // of this thread inside the image (wide: all or none, and then those of the image's corner are read, which costs
    // less than to ask at every use) and the distance between them.
    __device__ void load(const T *base, unsigned pixel, unsigned plane, int count, int) {
        if (count <= 0)
            pixel = 0;
        if (NHWC) {
            load_words<3 * PACK>(word, base + pixel * 3u);
        } else {
#pragma unroll
            for (int c = 0; c < 3; ++c)
                load_words<PACK>(word + c * PACK / 4, base + c * plane + pixel);
        }
    }
    __device__ typename Compute<T>::type get(int i, int c) const {
        return element(word, NHWC ? i * 3 + c : c * PX + i, T());
    }
};

template <class T, int PX, bool NHWC> struct Pixels<T, PX, NHWC, false> {
    T value[3 * PX];

    __device__ void load(const T *base, unsigned pixel, unsigned plane, int count, int step) {
#pragma unroll
        for (int i = 0; i < PX; ++i) {
            if (i < count) {
#pragma unroll
                for (int c = 0; c < 3; ++c) {
                    const unsigned at = pixel + i * step;
                    value[i * 3 + c] = base[NHWC ? at * 3u + c : c * plane + at];
                }
            }
        }
    }
    __device__ typename Compute<T>::type get(int i, int c) const { return widen(value[i * 3 + c]); }
};

} // namespace asda
#endif
