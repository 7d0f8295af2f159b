// Two crop pixels at a time: one 8-byte load holds both horizontal taps of a pixel (R G B R' G' B' or R G B 0 R' G'
// B').
#include "warp.h"

#include <immintrin.h>

namespace asda {

namespace {

template <int STEP> int warp_row(const Image &image, const Row &row, Span span, uint8_t *out) {
    // Words R G B R' G' B' . . (or R G B 0 R' G' B' 0) of each lane -> pairs (R, R') (G, G') (B, B') (., .)
    const __m128i pair_lane = STEP == 3 ? _mm_setr_epi8(0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11, 12, 13, 14, 15)
                                        : _mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    const __m256i pair = _mm256_broadcastsi128_si256(pair_lane);
    const __m256i round = _mm256_set1_epi32(1 << (2 * WEIGHT_BITS - 1));
    const __m128i pack = _mm_setr_epi8(0, 4, 8, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    int64_t sx = row.x0 + span.begin * row.dx, sy = row.y0 + span.begin * row.dy;
    int x = span.begin;
    // The 4-byte store of a pixel spills one byte into the next one: fine but for the last of the row's span.
    for (; x + 3 <= span.end; x += 2) {
        const int64_t tx = sx + row.dx, ty = sy + row.dy;
        const uint8_t *p = image.data + whole(sy) * image.stride + STEP * int64_t(whole(sx));
        const uint8_t *q = image.data + whole(ty) * image.stride + STEP * int64_t(whole(tx));
        const auto load = [](const uint8_t *at) { return _mm_loadl_epi64(reinterpret_cast<const __m128i *>(at)); };
        const __m128i a = _mm_unpacklo_epi8(load(p), load(p + image.stride)); // bytes: row 0, row 1, row 0, ..
        const __m128i b = _mm_unpacklo_epi8(load(q), load(q + image.stride));
        const int vy = weight(sy), wy = weight(ty), vx = weight(sx), wx = weight(tx);
        // A weight of 128 does not fit a signed byte, so the rows are blended in words: a * 128 + (b - a) * w.
        const __m256i both = _mm256_inserti128_si256(_mm256_castsi128_si256(a), b, 1);
        const __m256i even = _mm256_and_si256(both, _mm256_set1_epi16(255)); // row 0, words
        const __m256i odd = _mm256_srli_epi16(both, 8);                      // row 1
        const __m256i down =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi16(short(vy))), _mm_set1_epi16(short(wy)), 1);
        const __m256i column = _mm256_add_epi16(_mm256_slli_epi16(even, WEIGHT_BITS),
                                                _mm256_mullo_epi16(_mm256_sub_epi16(odd, even), down));
        const __m256i across =
            _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_set1_epi32((vx << 16) | (WEIGHT_ONE - vx))),
                                    _mm_set1_epi32((wx << 16) | (WEIGHT_ONE - wx)), 1);
        const __m256i sum = _mm256_madd_epi16(_mm256_shuffle_epi8(column, pair), across);
        const __m256i rgb = _mm256_srai_epi32(_mm256_add_epi32(sum, round), 2 * WEIGHT_BITS);
        const int first = _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm256_castsi256_si128(rgb), pack));
        const int second = _mm_cvtsi128_si32(_mm_shuffle_epi8(_mm256_extracti128_si256(rgb, 1), pack));
        std::memcpy(out + 3 * x, &first, 4);
        std::memcpy(out + 3 * x + 3, &second, 4);
        sx = tx + row.dx;
        sy = ty + row.dy;
    }
    return x;
}

} // namespace

int warp_row_inside_avx2(const Image &image, const Row &row, Span span, uint8_t *out) {
    return image.step == 3 ? warp_row<3>(image, row, span, out) : warp_row<4>(image, row, span, out);
}

} // namespace asda
