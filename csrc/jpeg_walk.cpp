// The walk over a photo's blocks: every row above the crop's last is read, the crop's own blocks become samples.
#if defined(__x86_64__) // as the files named _avx2, which it needs
#include "jpeg.h"

#include <algorithm>
#include <cstring>

namespace asda {
namespace {

constexpr size_t KEEP = size_t(48) << 20;             // a thread's buffers above this are given back
constexpr int64_t MAX_PROGRESSIVE = int64_t(1) << 25; // pixels: their coefficients are held all at once

// Room for the samples of these MCUs.
void make_planes(const Photo &photo, const Region &mcus, Plane *plane) {
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        plane[c].stride = (mcus.right - mcus.left) * component.h * 8 + SLACK;
        make_room(plane[c].data, size_t(plane[c].stride) * (mcus.bottom - mcus.top) * component.v * 8 + SLACK);
    }
}

// All coefficients of a progressive photo, then the samples of `mcus`.
Verdict read_progressive_samples(const Region &mcus, Scratch &scratch) {
    Photo &photo = scratch.photo;
    const Verdict verdict = read_progressive(photo, mcus.bottom, scratch.scan, scratch.coefficients);
    if (verdict != Verdict::FINE)
        return verdict;
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        const Plane &plane = scratch.plane[c];
        const int64_t across = int64_t(photo.mcus_across) * component.h;
        const int left = mcus.left * component.h, right = mcus.right * component.h;
        const auto block = [&](int row, int column) {
            return Block{scratch.coefficients[c].data() + (row * across + column) * 64, photo.quant[component.quant],
                         const_cast<uint8_t *>(plane.data.data()) + (row - mcus.top * component.v) * 8 * plane.stride +
                             (column - left) * 8,
                         plane.stride, false};
        };
        for (int row = mcus.top * component.v; row < mcus.bottom * component.v; ++row)
            for (int column = left; column < right; column += 2)
                inverse_dct(block(row, column), block(row, column + 1 < right ? column + 1 : column));
    }
    return Verdict::FINE;
}

// Samples of the MCUs `mcus` of a sequential photo -> the planes.
Verdict read_samples(const Photo &photo, const Scan &scan, const Region &mcus, Plane *plane) {
    struct Work {
        int component, x, y; // block of the MCU
    };
    Work work[6];
    int blocks = 0;
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        for (int y = 0; y < component.v; ++y)
            for (int x = 0; x < component.h; ++x)
                work[blocks++] = {c, x, y};
    }
    alignas(32) int16_t coefficients[6][80]; // 64, and one more that catches what runs over the end
    alignas(32) static const int16_t nothing[64] = {};
    uint8_t nowhere[64];
    Block todo[6];

    const int64_t all = int64_t(photo.mcus_across) * photo.mcus_down, per_segment = photo.restart ? photo.restart : all;
    for (size_t segment = 0; segment + 1 < scan.begin.size(); ++segment) {
        const int64_t start = int64_t(segment) * per_segment;
        if (start >= int64_t(mcus.bottom) * photo.mcus_across)
            break;
        Bits bits;
        bits.next = scan.bytes.data() + scan.begin[segment];
        const uint8_t *const end = scan.bytes.data() + scan.begin[segment + 1];
        int predictor[3] = {};
        const int64_t across = photo.mcus_across, stop = std::min(start + per_segment, mcus.bottom * across);
        for (int64_t mcu = start; mcu < stop;) {
            const int row = int(mcu / across), column = int(mcu % across);
            const bool above = row < mcus.top, wanted = !above && column >= mcus.left && column < mcus.right;
            if (!wanted) { // pass over everything up to the next MCU that is
                const int next_row = above ? mcus.top : column < mcus.left ? row : row + 1;
                const int64_t count = std::min(next_row * across + mcus.left, stop) - mcu;
                const Verdict verdict = skip_mcus(bits, photo, predictor, count, end);
                if (verdict != Verdict::FINE)
                    return verdict;
                mcu += count;
                continue;
            }
            for (int i = 0; i < blocks; ++i) {
                const int c = work[i].component;
                const Component &component = photo.component[c];
                std::memset(coefficients[i], 0, 64 * sizeof(int16_t));
                const int used =
                    read_block(bits, photo.dc[component.dc], photo.ac[component.ac], predictor[c], coefficients[i]);
                if (!used || std::abs(predictor[c]) > component.brightest)
                    return Verdict::NONSENSE;
                const ptrdiff_t y = ptrdiff_t((row - mcus.top) * component.v + work[i].y) * 8;
                const ptrdiff_t x = ptrdiff_t((column - mcus.left) * component.h + work[i].x) * 8;
                todo[i] = {coefficients[i], photo.quant[component.quant],
                           plane[c].data.data() + y * plane[c].stride + x, plane[c].stride, used == 1};
            }
            if (overrun(bits, end))
                return Verdict::SHORT; // into the next segment, or out of data
            for (int i = 0; i < blocks; i += 2)
                inverse_dct(todo[i], i + 1 < blocks ? todo[i + 1] : Block{nothing, nothing, nowhere, 8, true});
            ++mcu;
        }
        if (stop == std::min(start + per_segment, all) && left_over(bits, end) > 0)
            return Verdict::LEFT_OVER;
    }
    return Verdict::FINE;
}

} // namespace

void Scratch::trim() {
    if (rgb.data.capacity() + scan.bytes.capacity() + plane[0].data.capacity() + 2 * coefficients[0].capacity() > KEEP)
        *this = Scratch();
}

Verdict walk(const Region &mcus, Scratch &scratch) {
    const Photo &photo = scratch.photo;
    make_planes(photo, mcus, scratch.plane);
    if (photo.progressive) {
        const bool large = int64_t(photo.width) * photo.height > MAX_PROGRESSIVE;
        return large ? Verdict::FOREIGN : read_progressive_samples(mcus, scratch);
    }
    const uint8_t *next = unstuff(photo.scan, photo.scan_size, photo.restart > 0, scratch.scan);
    if (!next)
        return Verdict::SHORT;
    if (next[1] != 0xd9)
        return Verdict::FOREIGN; // more than one scan, or a height that comes after
    const int64_t all = int64_t(photo.mcus_across) * photo.mcus_down;
    const size_t segments = photo.restart ? size_t((all + photo.restart - 1) / photo.restart) : 1;
    if (scratch.scan.begin.size() - 1 != segments)
        return scratch.scan.begin.size() - 1 < segments ? Verdict::SHORT : Verdict::LEFT_OVER;
    return read_samples(photo, scratch.scan, mcus, scratch.plane);
}

} // namespace asda
#endif
