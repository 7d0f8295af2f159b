// The crop warp: out(x, y) = image at matrix * (x + .5, y + .5), bilinear, black outside the photo.
//
// Everything is in fixed point, so the portable and the AVX2 path give the same bits. A source coordinate has 32
// fractional bits; the weights are its first 7, rounded (OpenCV's warpAffine: 5). What a row of the crop sees of the
// photo is found first, by exact integer division: black spans are filled, spans whose four taps all lie inside run
// without a test per pixel, and only the seam between the two tests each tap.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>

namespace asda {

constexpr int WEIGHT_BITS = 7;
constexpr int WEIGHT_ONE = 1 << WEIGHT_BITS;
constexpr int COORD_BITS = 32;
constexpr int64_t COORD_ONE = int64_t(1) << COORD_BITS;
constexpr double COORD_LIMIT = double(1 << 27); // beyond: the fixed point could overflow

struct Image { // uint8 RGB, maybe only a part of the photo
    const uint8_t *data;
    int height, width;
    int64_t stride;        // bytes from row to row
    int step = 3;          // bytes from pixel to pixel
    int left = 0, top = 0; // the part's place in the photo; what is outside the part is taken for outside the photo
};

// Always inlined: the linker must not let all files share a copy that was compiled for AVX2.
#define ASDA_INLINE inline __attribute__((always_inline))

struct Span {
    int begin, end;
};

ASDA_INLINE int64_t floor_div(int64_t a, int64_t b) { // b > 0
    const int64_t q = a / b;
    return q - (q * b > a);
}

// The x in [0, n) with low <= start + x * step < high, for a linear function: an interval, maybe empty.
ASDA_INLINE Span solve(int64_t start, int64_t step, int64_t low, int64_t high, int n) {
    int64_t first = 0, last = n - 1; // both included
    if (step == 0) {
        if (start < low || start >= high)
            return {0, 0};
    } else if (step > 0) {
        first = floor_div(low - start + step - 1, step);
        last = floor_div(high - 1 - start, step);
    } else {
        first = floor_div(start - (high - 1) - step - 1, -step);
        last = floor_div(start - low, -step);
    }
    if (first < 0)
        first = 0;
    if (last > n - 1)
        last = n - 1;
    if (first > last)
        return {0, 0};
    return {int(first), int(last) + 1};
}

ASDA_INLINE Span intersect(Span a, Span b) {
    const int begin = a.begin > b.begin ? a.begin : b.begin, end = a.end < b.end ? a.end : b.end;
    return begin < end ? Span{begin, end} : Span{0, 0};
}

// One row of the crop: source index coordinates x0 + x * dx, y0 + x * dy (pixel centres on integers), in fixed point,
// half a weight step already added, so that truncating to 7 bits rounds.
struct Row {
    int64_t x0, y0, dx, dy;

    ASDA_INLINE Row(const double *m, int y, const Image &image) { // m: [2, 3] crop pixel -> photo pixel
        const double half_weight = 0.5 / WEIGHT_ONE;
        dx = llrint(m[0] * double(COORD_ONE));
        dy = llrint(m[3] * double(COORD_ONE));
        x0 = llrint((m[0] * 0.5 + m[1] * (y + 0.5) + m[2] - 0.5 + half_weight) * double(COORD_ONE));
        y0 = llrint((m[3] * 0.5 + m[4] * (y + 0.5) + m[5] - 0.5 + half_weight) * double(COORD_ONE));
        x0 -= image.left * COORD_ONE; // exact: a part gives the same bits as the whole
        y0 -= image.top * COORD_ONE;
    }

    // Where floor(source x) is in [left, right) and floor(source y) in [top, bottom).
    ASDA_INLINE Span inside(int left, int right, int top, int bottom, int n) const {
        return intersect(solve(x0, dx, left * COORD_ONE, right * COORD_ONE, n),
                         solve(y0, dy, top * COORD_ONE, bottom * COORD_ONE, n));
    }
};

ASDA_INLINE int whole(int64_t coordinate) { return int(coordinate >> COORD_BITS); }
ASDA_INLINE int weight(int64_t coordinate) { return int(coordinate >> (COORD_BITS - WEIGHT_BITS)) & (WEIGHT_ONE - 1); }

// The pixels [begin, end) of one row, each tap tested: taps outside are black.
ASDA_INLINE void warp_row_tested(const Image &image, const Row &row, Span span, uint8_t *out) {
    for (int x = span.begin; x < span.end; ++x) {
        const int64_t sx = row.x0 + x * row.dx, sy = row.y0 + x * row.dy;
        const int px = whole(sx), py = whole(sy), wx = weight(sx), wy = weight(sy);
        for (int c = 0; c < 3; ++c) {
            int tap[2][2];
            for (int j = 0; j < 2; ++j)
                for (int i = 0; i < 2; ++i) {
                    const int u = px + i, v = py + j;
                    const bool in = u >= 0 && u < image.width && v >= 0 && v < image.height;
                    tap[j][i] = in ? image.data[v * image.stride + image.step * u + c] : 0;
                }
            const int left = tap[0][0] * (WEIGHT_ONE - wy) + tap[1][0] * wy;
            const int right = tap[0][1] * (WEIGHT_ONE - wy) + tap[1][1] * wy;
            const int sum = left * (WEIGHT_ONE - wx) + right * wx;
            out[3 * x + c] = uint8_t((sum + (1 << (2 * WEIGHT_BITS - 1))) >> (2 * WEIGHT_BITS));
        }
    }
}

// The same where all four taps, and the two bytes after them, lie inside the image; returns the first x not done.
int warp_row_inside_avx2(const Image &image, const Row &row, Span span, uint8_t *out);

// simd: use AVX2 where the machine has it; the result is the same.
void warp(const Image &image, const double *matrix, uint8_t *out, int height, int width, bool simd = true);

// Throws std::invalid_argument for a matrix that is not finite or leads too far away.
void check_matrix(const double *matrix, int height, int width);

} // namespace asda
