// Half types <-> float in plain C++, with the rounding (nearest even) and NaNs of the F16C instructions.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace asda {
namespace {

inline uint32_t bits_of(float f) {
    uint32_t u;
    std::memcpy(&u, &f, 4);
    return u;
}

inline float float_of(uint32_t u) {
    float f;
    std::memcpy(&f, &u, 4);
    return f;
}

inline float from_bf16(uint16_t h) { return float_of(uint32_t(h) << 16); }

inline uint16_t to_bf16(float f) {
    const uint32_t u = bits_of(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return uint16_t((u >> 16) | 0x40u); // stays a NaN
    return uint16_t((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

inline float from_f16(uint16_t h) {
    const uint32_t sign = uint32_t(h & 0x8000u) << 16, exponent = (h >> 10) & 31u, mantissa = h & 0x3ffu;
    if (exponent == 31)
        return float_of(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u));
    if (exponent)
        return float_of(sign | ((exponent + 112u) << 23) | (mantissa << 13));
    const float small = float(int(mantissa)) * (1.f / 16777216.f); // subnormal: mantissa * 2^-24, exact
    return sign ? -small : small;
}

inline uint16_t to_f16(float f) {
    const uint32_t u = bits_of(f), sign = (u >> 16) & 0x8000u, magnitude = u & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return uint16_t(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu));
    if (magnitude >= 0x477ff000u) // rounds to 65536 or more
        return uint16_t(sign | 0x7c00u);
    if (magnitude < 0x38800000u) { // subnormal in half: let the float adder round at 2^-24
        const uint32_t shifted = bits_of(float_of(magnitude) + 0.5f);
        return uint16_t(sign | (shifted - 0x3f000000u));
    }
    return uint16_t(sign | ((magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13));
}

// 0..1 -> 0..255, to the nearest even as _mm256_cvtps_epi32 does; 0 for a NaN.
inline uint8_t to_u8(float f) {
    const float v = f * 255.f;
    return uint8_t(std::lrint(v > 0.f ? (v < 255.f ? v : 255.f) : 0.f));
}

} // namespace
} // namespace asda
