// Coefficients -> samples -> RGB, with libjpeg's arithmetic: jidctint.c, jdsample.c and jdcolor.c, to the bit.
#include "jpeg.h"

#include <cstring>
#include <immintrin.h>

namespace asda {
namespace {

// The constants of jidctint.c: x * 2^13, rounded.
constexpr int F0298 = 2446, F0390 = 3196, F0541 = 4433, F0765 = 6270, F0899 = 7373, F1175 = 9633, F1501 = 12299,
              F1847 = 15137, F1961 = 16069, F2053 = 16819, F2562 = 20995, F3072 = 25172, ONE = 1 << 13;

inline __m256i pair(int a, int b) { return _mm256_set1_epi32(int(uint32_t(b) << 16 | (uint32_t(a) & 0xffff))); }

struct Wide { // 8 + 8 sums of 32 bits: low and high half of each lane's 8 columns
    __m256i low, high;
};

inline Wide dot(__m256i a, __m256i b, __m256i factors) { // a * factors.first + b * factors.second
    return {_mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), factors),
            _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), factors)};
}
inline Wide operator+(Wide a, Wide b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
inline Wide operator-(Wide a, Wide b) { return {_mm256_sub_epi32(a.low, b.low), _mm256_sub_epi32(a.high, b.high)}; }

template <int SHIFT> inline __m256i descale(Wide a) {
    const __m256i half = _mm256_set1_epi32(1 << (SHIFT - 1));
    return _mm256_packs_epi32(_mm256_srai_epi32(_mm256_add_epi32(a.low, half), SHIFT),
                              _mm256_srai_epi32(_mm256_add_epi32(a.high, half), SHIFT));
}

// One pass down the columns of two blocks (one to a lane); v[i] is row i.
template <int SHIFT> inline void columns(__m256i *v) {
    const Wide t2 = dot(v[2], v[6], pair(F0541, F0541 - F1847));
    const Wide t3 = dot(v[2], v[6], pair(F0541 + F0765, F0541));
    const Wide t0 = dot(v[0], v[4], pair(ONE, ONE)), t1 = dot(v[0], v[4], pair(ONE, -ONE));
    const Wide e0 = t0 + t3, e3 = t0 - t3, e1 = t1 + t2, e2 = t1 - t2;

    const __m256i z3 = _mm256_add_epi16(v[7], v[3]), z4 = _mm256_add_epi16(v[5], v[1]);
    const Wide s3 = dot(z3, z4, pair(F1175 - F1961, F1175)), s4 = dot(z3, z4, pair(F1175, F1175 - F0390));
    const Wide o0 = dot(v[7], v[1], pair(F0298 - F0899, -F0899)) + s3;
    const Wide o3 = dot(v[7], v[1], pair(-F0899, F1501 - F0899)) + s4;
    const Wide o1 = dot(v[5], v[3], pair(F2053 - F2562, -F2562)) + s4;
    const Wide o2 = dot(v[5], v[3], pair(-F2562, F3072 - F2562)) + s3;

    v[0] = descale<SHIFT>(e0 + o3);
    v[7] = descale<SHIFT>(e0 - o3);
    v[1] = descale<SHIFT>(e1 + o2);
    v[6] = descale<SHIFT>(e1 - o2);
    v[2] = descale<SHIFT>(e2 + o1);
    v[5] = descale<SHIFT>(e2 - o1);
    v[3] = descale<SHIFT>(e3 + o0);
    v[4] = descale<SHIFT>(e3 - o0);
}

inline void transpose(__m256i *v) { // 8x8 words, each lane by itself
    __m256i a[8], b[8];
    for (int i = 0; i < 4; ++i) {
        a[2 * i] = _mm256_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
        a[2 * i + 1] = _mm256_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
    }
    for (int i = 0; i < 2; ++i)
        for (int j = 0; j < 2; ++j) {
            b[4 * i + 2 * j] = _mm256_unpacklo_epi32(a[4 * i + j], a[4 * i + 2 + j]);
            b[4 * i + 2 * j + 1] = _mm256_unpackhi_epi32(a[4 * i + j], a[4 * i + 2 + j]);
        }
    for (int j = 0; j < 4; ++j) {
        v[2 * j] = _mm256_unpacklo_epi64(b[j], b[4 + j]);
        v[2 * j + 1] = _mm256_unpackhi_epi64(b[j], b[4 + j]);
    }
}

void flat_block(const Block &block) {
    const int value = (int(int16_t(block.coefficients[0] * block.quant[0])) + 4) >> 3;
    const int sample = value + 128 < 0 ? 0 : value + 128 > 255 ? 255 : value + 128;
    for (int y = 0; y < 8; ++y)
        std::memset(block.out + y * block.stride, sample, 8);
}

// Three bytes of each 32-bit word become one row of `count` = 16 pixels R G B 0.
inline void store_rgb(__m128i r, __m128i g, __m128i b, uint8_t *out) {
    const __m128i zero = _mm_setzero_si128();
    const __m128i rg0 = _mm_unpacklo_epi8(r, g), rg1 = _mm_unpackhi_epi8(r, g);
    const __m128i b0 = _mm_unpacklo_epi8(b, zero), b1 = _mm_unpackhi_epi8(b, zero);
    auto *p = reinterpret_cast<__m128i *>(out);
    _mm_storeu_si128(p, _mm_unpacklo_epi16(rg0, b0));
    _mm_storeu_si128(p + 1, _mm_unpackhi_epi16(rg0, b0));
    _mm_storeu_si128(p + 2, _mm_unpacklo_epi16(rg1, b1));
    _mm_storeu_si128(p + 3, _mm_unpackhi_epi16(rg1, b1));
}

inline __m128i bytes(__m256i words) { // 16 words, clamped
    const __m256i packed = _mm256_packus_epi16(words, words);
    return _mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08));
}

// Means of whole squares: rows are added up, pixels pair by pair, in 16 bits, which hold 64 times 255.
template <int SHRINK> void square_means(const uint8_t *rows, ptrdiff_t stride, int count, uint8_t *out) {
    constexpr int SHIFT = SHRINK == 2 ? 2 : SHRINK == 4 ? 4 : 6; // log2 of the pixels of a square
    const __m256i neighbours = _mm256_setr_epi8(0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15, //
                                                0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15);
    const __m256i one = _mm256_set1_epi8(1), half = _mm256_set1_epi16(SHRINK * SHRINK / 2);
    for (int x = 0; x < count; x += 8 / SHRINK) { // 8 pixels across, two pairs to a lane
        const uint8_t *from = rows + 4 * SHRINK * ptrdiff_t(x);
        __m256i sum = _mm256_setzero_si256();
        for (int i = 0; i < SHRINK; ++i, from += stride) {
            const __m256i pixels = _mm256_loadu_si256(reinterpret_cast<const __m256i *>(from));
            sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(_mm256_shuffle_epi8(pixels, neighbours), one));
        }
        if (SHRINK >= 4)
            sum = _mm256_add_epi16(sum, _mm256_shuffle_epi32(sum, 0x4e));
        if (SHRINK == 8)
            sum = _mm256_add_epi16(sum, _mm256_permute4x64_epi64(sum, 0x4e));
        const __m256i mean = _mm256_srli_epi16(_mm256_add_epi16(sum, half), SHIFT);
        const __m256i packed = _mm256_packus_epi16(mean, mean);
        const __m128i first = _mm256_castsi256_si128(packed), second = _mm256_extracti128_si256(packed, 1);
        const __m128i means = SHRINK == 2 ? _mm_unpacklo_epi64(first, second) : _mm_unpacklo_epi32(first, second);
        std::memcpy(out + 4 * ptrdiff_t(x), &means, 32 / SHRINK);
    }
}

// The mean of less than a square.
void edge_mean(const uint8_t *rows, ptrdiff_t stride, int height, int width, uint8_t *out) {
    const int count = height * width;
    for (int c = 0; c < 4; ++c) {
        int sum = count / 2;
        for (int y = 0; y < height; ++y)
            for (int x = 0; x < width; ++x)
                sum += rows[y * stride + 4 * x + c];
        out[c] = uint8_t(sum / count);
    }
}

} // namespace

void inverse_dct(const Block &a, const Block &b) {
    if (a.flat && b.flat) {
        flat_block(a);
        flat_block(b);
        return;
    }
    __m256i v[8];
    for (int i = 0; i < 8; ++i) {
        const auto load = [i](const int16_t *p) {
            return _mm_loadu_si128(reinterpret_cast<const __m128i *>(p + 8 * i));
        };
        const __m256i both =
            _mm256_inserti128_si256(_mm256_castsi128_si256(load(a.coefficients)), load(b.coefficients), 1);
        const __m256i quant = _mm256_inserti128_si256(_mm256_castsi128_si256(load(a.quant)), load(b.quant), 1);
        v[i] = _mm256_mullo_epi16(both, quant);
    }
    columns<13 - 2>(v);
    transpose(v);
    columns<13 + 2 + 3>(v);
    transpose(v);
    const __m256i centre = _mm256_set1_epi8(char(128));
    for (int i = 0; i < 8; i += 2) {
        // Clamped to -128..127 first, so that adding 128 (flipping the top bit) cannot overflow.
        const __m256i rows = _mm256_xor_si256(_mm256_packs_epi16(v[i], v[i + 1]), centre);
        const __m128i first = _mm256_castsi256_si128(rows), second = _mm256_extracti128_si256(rows, 1);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(a.out + i * a.stride), first);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(a.out + (i + 1) * a.stride), _mm_unpackhi_epi64(first, first));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(b.out + i * b.stride), second);
        _mm_storel_epi64(reinterpret_cast<__m128i *>(b.out + (i + 1) * b.stride), _mm_unpackhi_epi64(second, second));
    }
}

void upsample(const uint8_t *near_row, const uint8_t *far_row, int count, int16_t *scratch, uint8_t *out) {
    int16_t *t = scratch + 1; // t[-1] and t[count] repeat the edge
    if (far_row)
        for (int i = 0; i < count; ++i)
            t[i] = int16_t(3 * near_row[i] + far_row[i]);
    else
        for (int i = 0; i < count; ++i)
            t[i] = near_row[i];
    t[-1] = t[0];
    t[count] = t[count - 1];
    const int shift = far_row ? 4 : 2;
    const __m256i round_left = _mm256_set1_epi16(far_row ? 8 : 1), round_right = _mm256_set1_epi16(far_row ? 7 : 2);
    const __m128i by = _mm_cvtsi32_si128(shift);
    for (int i = 0; i < count; i += 16) {
        const auto load = [t](int at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i *>(t + at)); };
        const __m256i here = load(i), thrice = _mm256_add_epi16(here, _mm256_add_epi16(here, here));
        const __m256i left = _mm256_srl_epi16(_mm256_add_epi16(_mm256_add_epi16(thrice, load(i - 1)), round_left), by);
        const __m256i right =
            _mm256_srl_epi16(_mm256_add_epi16(_mm256_add_epi16(thrice, load(i + 1)), round_right), by);
        const __m256i both = _mm256_or_si256(left, _mm256_slli_epi16(right, 8));
        _mm256_storeu_si256(reinterpret_cast<__m256i *>(out + 2 * i), both);
    }
}

void to_rgb(const uint8_t *y, const uint8_t *cb, const uint8_t *cr, int count, uint8_t *out) {
    const __m256i centre = _mm256_set1_epi16(128), two = _mm256_set1_epi16(2), half = _mm256_set1_epi32(1 << 15);
    const auto load = [](const uint8_t *p) {
        return _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i *>(p)));
    };
    const auto shifted = [](Wide a) {
        return _mm256_packs_epi32(_mm256_srai_epi32(a.low, 16), _mm256_srai_epi32(a.high, 16));
    };
    for (int i = 0; i < count; i += 16) {
        const __m256i luma = load(y + i);
        const __m256i b = _mm256_sub_epi16(load(cb + i), centre), r = _mm256_sub_epi16(load(cr + i), centre);
        // 1.402 = 1 + 26345 / 2^16; 1.772 = 2 - 14942 / 2^16; 0.344136 = 22554 / 2^16; 0.714136 = 1 - 18734 / 2^16.
        const __m256i red = _mm256_add_epi16(r, shifted(dot(r, two, pair(26345, 1 << 14))));
        const __m256i blue = _mm256_add_epi16(_mm256_add_epi16(b, b), shifted(dot(b, two, pair(-14942, 1 << 14))));
        const Wide mixed = dot(b, r, pair(-22554, 18734));
        const __m256i green =
            _mm256_sub_epi16(shifted({_mm256_add_epi32(mixed.low, half), _mm256_add_epi32(mixed.high, half)}), r);
        store_rgb(bytes(_mm256_add_epi16(luma, red)), bytes(_mm256_add_epi16(luma, green)),
                  bytes(_mm256_add_epi16(luma, blue)), out + 4 * i);
    }
}

void grey_to_rgb(const uint8_t *y, int count, uint8_t *out) {
    for (int i = 0; i < count; i += 16) {
        const __m128i v = _mm_loadu_si128(reinterpret_cast<const __m128i *>(y + i));
        store_rgb(v, v, v, out + 4 * i);
    }
}

void average(const uint8_t *rows, ptrdiff_t stride, int height, int width, int shrink, uint8_t *out) {
    const int squares = height == shrink ? width / shrink : 0;
    (shrink == 2 ? square_means<2> : shrink == 4 ? square_means<4> : square_means<8>)(rows, stride, squares, out);
    for (int x = squares; x * shrink < width; ++x) {
        const int left = x * shrink, across = width - left < shrink ? width - left : shrink;
        edge_mean(rows + 4 * ptrdiff_t(left), stride, height, across, out + 4 * ptrdiff_t(x));
    }
}

} // namespace asda
