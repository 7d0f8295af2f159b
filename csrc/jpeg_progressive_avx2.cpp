// Progressive photos (ITU T.81 annex G): coefficients come in scans, a few bits of a few places each. Every scan is
// walked from the top to the crop's last row of blocks only, and only the crop's own blocks become pixels afterwards.
#include <cstdlib> // before jpeg_bits.h, which sets the target

#include "jpeg_bits.h"

namespace asda {
namespace {

struct Scanner {
    Bits bits;
    const uint8_t *end;
    int first, last, low; // places [first, last], lowest bit
    int run = 0;          // blocks still to pass over

    bool overrun() const { return asda::overrun(bits, end); }

    // What the scan comes to once all its blocks are read.
    Verdict finish() const { return run ? Verdict::SHORT : left_over(bits, end) ? Verdict::LEFT_OVER : Verdict::FINE; }

    int take(int n) { // 0..15 bits
        refill(bits);
        const int value = int(bits.buffer >> 1 >> (63 - n));
        drop(bits, n);
        return value;
    }

    // The next symbol: run and size. False on nonsense.
    bool symbol(const Huffman &table, int &zeros, int &size) {
        refill(bits);
        int found = 0;
        const int length = code(table, found);
        if (!length)
            return false;
        drop(bits, length);
        zeros = found >> 4;
        size = found & 15;
        return true;
    }

    bool first_ac(const Huffman &table, int16_t *block) {
        if (run) {
            --run;
            return true;
        }
        for (int place = first; place <= last;) {
            refill(bits);
            const uint32_t entry = table.one[bits.buffer >> (64 - FAST_BITS)];
            int zeros, size, value;
            if (__builtin_expect((entry & 0xff00) != 0, 1)) {
                const int code_bits = int(entry >> 16 & 255), steps = int(entry >> 8 & 255);
                size = int(entry >> 24);
                if (steps == END) {
                    drop(bits, code_bits);
                    run = (1 << size) - 1 + take(size);
                    return true;
                }
                zeros = steps - 1;
                value = extend(bits.buffer << code_bits, size);
                drop(bits, int(entry & 255));
            } else {
                if (!symbol(table, zeros, size))
                    return false;
                if (!size && zeros != 15) {
                    run = (1 << zeros) - 1 + take(zeros);
                    return true;
                }
                value = extend(bits.buffer, size);
                drop(bits, size);
            }
            place += zeros;
            if (place > last)
                return false;
            if (size)
                block[ZIGZAG[place]] = int16_t(unsigned(value) << low);
            ++place;
        }
        return true;
    }

    void correct(int16_t &coefficient) { // one more bit of a coefficient that is not zero
        if (take(1) && !(coefficient & (1 << low)))
            coefficient = int16_t(coefficient + (coefficient >= 0 ? 1 << low : -(1 << low)));
    }

    bool refine_ac(const Huffman &table, int16_t *block) {
        int place = first;
        if (!run) {
            for (; place <= last; ++place) {
                int zeros, size, value = 0;
                if (!symbol(table, zeros, size))
                    return false;
                if (size > 1)
                    return false;
                if (size)
                    value = take(1) ? 1 << low : -(1 << low);
                else if (zeros != 15) {
                    run = (1 << zeros) + take(zeros);
                    break;
                }
                for (; place <= last; ++place) {
                    int16_t &coefficient = block[ZIGZAG[place]];
                    if (coefficient)
                        correct(coefficient);
                    else if (--zeros < 0)
                        break;
                }
                if (size) {
                    if (place > last)
                        return false;
                    block[ZIGZAG[place]] = int16_t(value);
                }
            }
        }
        if (run) {
            for (; place <= last; ++place)
                if (block[ZIGZAG[place]])
                    correct(block[ZIGZAG[place]]);
            --run;
        }
        return true;
    }

private:
    int code(const Huffman &table, int &found) const {
        const uint32_t entry = table.one[bits.buffer >> (64 - FAST_BITS)];
        if (__builtin_expect((entry & 0xff00) == 0, 0))
            return long_code(table, bits.buffer, found);
        const int size = int(entry >> 24), steps = int(entry >> 8 & 255);
        found = steps == END ? size << 4 : (steps - 1) << 4 | size;
        return int(entry >> 16 & 255);
    }
};

// How far each place of each component has come: its lowest bit so far, or NONE.
constexpr int NONE = 99;
struct Progress {
    uint8_t low[3][64];
    Progress() { std::memset(low, NONE, sizeof low); }
    bool step(int c, int first, int last, int high, int next) {
        for (int place = first; place <= last; ++place) {
            uint8_t &now = low[c][place];
            if (high ? now != high || next != high - 1 : now != NONE)
                return false;
            now = uint8_t(next);
        }
        return true;
    }
    bool complete(int components) const {
        for (int c = 0; c < components; ++c)
            for (int place = 0; place < 64; ++place)
                if (low[c][place])
                    return false;
        return true;
    }
};

Verdict dc_scan(const Photo &photo, Scanner &s, bool refine, const int *chosen, int count, const int *table, int rows,
                std::vector<int16_t> *coefficients) {
    int predictor[3] = {}, limit[3] = {};
    for (int i = 0; i < count; ++i)
        limit[i] = (brightest(photo, chosen[i]) >> s.low) + 1;
    const auto block = [&](int i, int row, int column) {
        const int c = chosen[i];
        const int64_t across = int64_t(photo.mcus_across) * photo.component[c].h;
        int16_t &dc = coefficients[c][size_t((row * across + column) * 64)];
        if (refine) {
            if (s.take(1))
                dc = int16_t(dc | 1 << s.low);
            return true;
        }
        if (!read_dc(s.bits, photo.dc[table[i]], predictor[i]) || std::abs(predictor[i]) > limit[i])
            return false;
        dc = int16_t(unsigned(predictor[i]) << s.low);
        return true;
    };
    if (count == 1) { // a scan of one component has its blocks in rows, without those that only pad an MCU
        const Component &component = photo.component[chosen[0]];
        const int across = (component.width + 7) / 8, down = (component.height + 7) / 8;
        for (int row = 0; row < down && row < rows * component.v; ++row)
            for (int column = 0; column < across; ++column)
                if (!block(0, row, column))
                    return Verdict::NONSENSE;
                else if (s.overrun())
                    return Verdict::SHORT;
        return rows < photo.mcus_down ? Verdict::FINE : s.finish();
    }
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < photo.mcus_across; ++column) {
            for (int i = 0; i < count; ++i) {
                const Component &component = photo.component[chosen[i]];
                for (int y = 0; y < component.v; ++y)
                    for (int x = 0; x < component.h; ++x)
                        if (!block(i, row * component.v + y, column * component.h + x))
                            return Verdict::NONSENSE;
            }
            if (s.overrun())
                return Verdict::SHORT;
        }
    return rows < photo.mcus_down ? Verdict::FINE : s.finish();
}

Verdict ac_scan(const Photo &photo, Scanner &s, bool refine, int c, const Huffman &table, int rows,
                int16_t *coefficients) {
    const Component &component = photo.component[c];
    const int across = (component.width + 7) / 8, down = (component.height + 7) / 8;
    const int64_t stride = int64_t(photo.mcus_across) * component.h;
    for (int row = 0; row < down && row < rows * component.v; ++row)
        for (int column = 0; column < across; ++column) {
            int16_t *block = coefficients + (row * stride + column) * 64;
            if (!(refine ? s.refine_ac(table, block) : s.first_ac(table, block)))
                return Verdict::NONSENSE;
            if (s.overrun())
                return Verdict::SHORT;
        }
    return rows < photo.mcus_down ? Verdict::FINE : s.finish();
}

// One scan, from the body of its SOS segment to `next`, the marker after its data. What is wrong with the header is
// left to libjpeg.
Verdict one_scan(Photo &photo, const uint8_t *body, const uint8_t *data, const uint8_t *end, int rows, Scan &scan,
                 Progress &progress, std::vector<int16_t> *coefficients, const uint8_t *&next) {
    const int count = body[0];
    if (count < 1 || count > photo.components || data - body != 4 + 2 * count)
        return Verdict::FOREIGN;
    int chosen[3], dc_table[3], ac_table = 0;
    for (int i = 0, c = 0; i < count; ++i, ++c) { // components come in the frame's order
        while (c < photo.components && photo.ids[c] != body[1 + 2 * i])
            ++c;
        if (c == photo.components)
            return Verdict::FOREIGN;
        chosen[i] = c;
        dc_table[i] = body[2 + 2 * i] >> 4;
        ac_table = body[2 + 2 * i] & 15;
        if (dc_table[i] > 3 || ac_table > 3 || !photo.quant_set[photo.component[c].quant])
            return Verdict::FOREIGN;
    }
    const uint8_t *rest = body + 1 + 2 * count;
    Scanner s;
    s.first = rest[0];
    s.last = rest[1];
    s.low = rest[2] & 15;
    const int high = rest[2] >> 4;
    const bool dc = s.first == 0;
    if (s.last > 63 || s.first > s.last || (dc ? s.last != 0 : count != 1) || s.low > 13)
        return Verdict::FOREIGN;
    for (int i = 0; i < count; ++i)
        if (!progress.step(chosen[i], s.first, s.last, high, s.low))
            return Verdict::FOREIGN;
    next = unstuff(data, size_t(end - data), false, scan);
    if (!next)
        return Verdict::SHORT;
    s.bits.next = scan.bytes.data();
    s.end = scan.bytes.data() + scan.begin[1];
    if (dc) {
        for (int i = 0; i < count && !high; ++i)
            if (!photo.dc[dc_table[i]].set || !photo.dc[dc_table[i]].build(true, false))
                return Verdict::FOREIGN;
        return dc_scan(photo, s, high != 0, chosen, count, dc_table, rows, coefficients);
    }
    Huffman &table = photo.ac[ac_table];
    if (!table.set || !table.build(false, false))
        return Verdict::FOREIGN;
    return ac_scan(photo, s, high != 0, chosen[0], table, rows, coefficients[chosen[0]].data());
}

} // namespace

Verdict read_progressive(Photo &photo, int rows, Scan &scan, std::vector<int16_t> *coefficients) {
    if (photo.restart)
        return Verdict::FOREIGN;
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        coefficients[c].assign(size_t(photo.mcus_across) * component.h * rows * component.v * 64, 0);
    }
    Progress progress;
    const uint8_t *p = photo.scan, *const end = p + photo.scan_size;
    while (end - p >= 2) {
        if (p[0] != 0xff)
            return Verdict::FOREIGN;
        const int marker = p[1];
        if (marker == 0xd9)
            return progress.complete(photo.components) ? Verdict::FINE : Verdict::FOREIGN;
        if (marker == 0xff) {
            ++p;
            continue;
        }
        const int length = end - p >= 4 ? p[2] << 8 | p[3] : 0;
        if (length < 3 || length > end - p - 2)
            return Verdict::FOREIGN;
        const uint8_t *body = p + 4, *next = p + 2 + length;
        if (marker == 0xc4) {
            if (!huffman_tables(body, next, photo))
                return Verdict::FOREIGN;
        } else if (marker == 0xda) {
            const uint8_t *after = nullptr;
            const Verdict verdict = one_scan(photo, body, next, end, rows, scan, progress, coefficients, after);
            if (verdict != Verdict::FINE)
                return verdict;
            next = after;
        } else if (marker != 0xfe) {
            return Verdict::FOREIGN; // new tables or a frame in the middle: not ours
        }
        p = next;
    }
    return Verdict::SHORT;
}

} // namespace asda
