// Huffman decoding (ITU T.81 annex F.2.2), the part that no crop can skip.
//
// The buffer holds at least 56 bits after a refill; a code with its value has at most 31. Refilling has no branch, and
// the word that it loads was addressed a symbol earlier, so only a shift and an OR lie on the path from symbol to
// symbol.
#include <algorithm> // before jpeg_bits.h, which sets the target
#include <cstdlib>

#include "jpeg_bits.h"

namespace asda {
namespace {

// Places of a zigzag position, with room for what runs over the end: it lands on a 65th coefficient.
struct Order {
    uint8_t place[64 + END + 1];
    constexpr Order() : place() {
        for (int i = 0; i < int(sizeof place); ++i)
            place[i] = i < 64 ? ZIGZAG[i] : 64;
    }
};
constexpr Order ORDER;

// One AC symbol with a long code: the new place (END or more at the end of the block), -1 on nonsense.
inline int long_ac(Bits &bits, const Huffman &table, int place, int &value) {
    int symbol = 0;
    const int length = long_code(table, bits.buffer, symbol);
    if (!length)
        return -1;
    drop(bits, length);
    const int run = symbol >> 4, size = symbol & 15;
    value = extend(bits.buffer, size);
    drop(bits, size);
    return place + (size || run == 15 ? run + 1 : END);
}

JPEG_INLINE bool skip_block(Bits &b, const Huffman &dc, const Huffman &ac, int &predictor) {
    if (!read_dc(b, dc, predictor))
        return false;
    int place = 1;
    while (place < 64) {
        refill(b);
        const int entry = ac.many[b.buffer >> (64 - MANY_BITS)], ends = entry >> 7 & 1;
        // Symbols after the block's 64th place belong to the next block: then one at a time.
        if (__builtin_expect(entry != 0 && place + (entry >> 8) + ends <= 64, 1)) {
            drop(b, entry & 127);
            place += (entry >> 8) + ends * END;
            continue;
        }
        const uint32_t single = ac.one[b.buffer >> (64 - FAST_BITS)];
        if (single & 0xff00) {
            drop(b, int(single & 255));
            place += int(single >> 8 & 255);
        } else {
            int value;
            place = long_ac(b, ac, place, value);
            if (place < 0)
                return false;
        }
    }
    return place == 64 || place >= END;
}

} // namespace

bool Huffman::build(bool for_dc, bool skipping) {
    if (built && (skips || !skipping))
        return dc == for_dc;
    dc = for_dc;
    std::memset(one, 0, sizeof one);
    int32_t code = 0;
    int total = 0;
    for (int length = 1; length <= 16; ++length) {
        offset[length] = total - code;
        if (counts[length] && code + counts[length] >= 1 << length) // the code of ones only is no code
            return false;
        for (int i = 0; i < counts[length]; ++i, ++code, ++total) {
            const int symbol = symbols[total], run = dc ? 0 : symbol >> 4, size = dc ? symbol : symbol & 15;
            if (size > 15)
                return false;
            const bool ends = !dc && !size && run != 15;
            const uint32_t entry =
                uint32_t((ends ? run : size) << 24 | length << 16 | (ends ? END : run + 1) << 8 | (length + size));
            if (length <= FAST_BITS)
                std::fill_n(one + (code << (FAST_BITS - length)), 1 << (FAST_BITS - length), entry);
        }
        limit[length] = code << (16 - length);
        code <<= 1;
    }
    constexpr int MASK = (1 << MANY_BITS) - 1;
    for (int window = 0; skipping && window <= MASK; ++window) {
        int used = 0, steps = 0;
        bool ends = false;
        while (!ends && used < MANY_BITS) {
            const uint32_t entry = one[(window << used & MASK) >> (MANY_BITS - FAST_BITS)];
            const int step = int(entry >> 8 & 255), length = int(entry & 255);
            if (!step || used + length > MANY_BITS || (step != END && steps + step > 63))
                break;
            ends = step == END;
            steps += ends ? 0 : step;
            used += length;
        }
        many[window] = uint16_t(used ? steps << 8 | (ends ? 128 : 0) | used : 0);
    }
    built = total > 0;
    skips = skipping;
    return built;
}

int read_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor, int16_t *coefficients) {
    Bits b = bits; // in registers
    if (!read_dc(b, dc, predictor))
        return 0;
    coefficients[0] = int16_t(predictor);
    int place = 1;
    while (place < 64) {
        refill(b);
        const uint32_t entry = ac.one[b.buffer >> (64 - FAST_BITS)];
        int value;
        if (__builtin_expect(entry & 0xff00, 1)) {
            value = extend(b.buffer << (entry >> 16 & 255), int(entry >> 24));
            drop(b, int(entry & 255));
            place += int(entry >> 8 & 255);
        } else {
            place = long_ac(b, ac, place, value);
            if (place < 0)
                return 0;
        }
        coefficients[ORDER.place[place - 1]] = int16_t(value);
    }
    bits = b;
    if (place >= END)
        return place - END;
    return place == 64 ? 64 : 0; // a run over the end is nonsense
}

Verdict skip_mcus(Bits &bits, const Photo &photo, int *predictor, int64_t count, const uint8_t *end) {
    Bits b = bits;
    for (; count > 0; --count) {
        for (int c = 0; c < photo.components; ++c) {
            const Component &component = photo.component[c];
            const Huffman &dc = photo.dc[component.dc], &ac = photo.ac[component.ac];
            for (int block = component.h * component.v; block > 0; --block)
                if (!skip_block(b, dc, ac, predictor[c]) || std::abs(predictor[c]) > component.brightest)
                    return Verdict::NONSENSE;
        }
        if (overrun(b, end))
            return Verdict::SHORT;
    }
    bits = b;
    return Verdict::FINE;
}

} // namespace asda
