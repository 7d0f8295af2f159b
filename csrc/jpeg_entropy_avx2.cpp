// Huffman decoding (ITU T.81 annex F.2.2), the part that no crop can skip.
//
// The buffer holds at least 56 bits after a refill, and a code with its value has at most 31: one refill pays for a
// symbol, usually for more. Refilling reads 8 bytes whatever is needed, without a branch.
#include "jpeg.h"

#include <cstring>

#pragma GCC target("bmi,bmi2")

namespace asda {
namespace {

inline void refill(Bits &bits) {
    uint64_t word;
    std::memcpy(&word, bits.next, 8);
    bits.buffer |= __builtin_bswap64(word) >> bits.count;
    bits.next += (63 - bits.count) >> 3;
    bits.count |= 56;
}

inline void drop(Bits &bits, int n) {
    bits.buffer <<= n;
    bits.count -= n;
}

inline int extend(uint64_t buffer, int size) { // the value of the next `size` bits, size 1..15
    const int raw = int(buffer >> (64 - size));
    return raw < (1 << (size - 1)) ? raw - (1 << size) + 1 : raw;
}

// The symbol of the next code, and the code's length; 0 if there is none.
inline int long_code(const Huffman &table, uint64_t buffer, int &symbol) {
    const int32_t code = int32_t(buffer >> 48);
    for (int length = 1; length <= 16; ++length)
        if (code < table.limit[length]) {
            symbol = table.symbols[((code >> (16 - length)) + table.offset[length]) & 255];
            return length;
        }
    return 0;
}

// Places of a zigzag position, with room for what runs over the end: it lands on a 65th coefficient.
struct Order {
    uint8_t place[64 + END + 1];
    constexpr Order() : place() {
        for (int i = 0; i < int(sizeof place); ++i)
            place[i] = i < 64 ? ZIGZAG[i] : 64;
    }
};
constexpr Order ORDER;

inline bool read_dc(Bits &bits, const Huffman &table, int &predictor) {
    refill(bits);
    const int32_t entry = table.one[bits.buffer >> (64 - FAST_BITS)];
    if (__builtin_expect(entry & 0xff00, 1)) {
        drop(bits, entry & 255);
        predictor += entry >> 16;
        return true;
    }
    int symbol = entry >> 16;
    const int length = entry ? entry & 255 : long_code(table, bits.buffer, symbol);
    if (!length)
        return false;
    drop(bits, length);
    if (symbol) {
        predictor += extend(bits.buffer, symbol);
        drop(bits, symbol);
    }
    return true;
}

// One AC symbol that is not in the table: new place (a normal step, or END added), -1 on nonsense.
inline int long_ac(Bits &bits, const Huffman &table, int32_t entry, int place, int &value) {
    int symbol = entry >> 16;
    const int length = entry ? entry & 255 : long_code(table, bits.buffer, symbol);
    if (!length)
        return -1;
    drop(bits, length);
    const int run = symbol >> 4, size = symbol & 15;
    value = 0;
    if (!size)
        return run == 15 ? place + 16 : place + END;
    value = extend(bits.buffer, size);
    drop(bits, size);
    return place + run + 1;
}

} // namespace

bool Huffman::build(bool dc) {
    int32_t code = 0;
    int total = 0;
    for (int length = 1; length <= 16; ++length) {
        offset[length] = total - code;
        code += counts[length];
        total += counts[length];
        if (code > 1 << length)
            return false;
        limit[length] = code << (16 - length);
        code <<= 1;
    }
    if (!total)
        return false;
    for (int i = 0; i < total; ++i)
        if (dc && symbols[i] > 15)
            return false;
    for (int window = 0; window < 1 << FAST_BITS; ++window) {
        one[window] = 0;
        const uint64_t buffer = uint64_t(window) << (64 - FAST_BITS);
        int symbol = 0;
        const int length = long_code(*this, buffer, symbol);
        const int run = dc ? 0 : symbol >> 4, size = symbol & 15;
        if (!length || length > FAST_BITS)
            continue;
        if (length + size > FAST_BITS) {
            one[window] = symbol << 16 | length;
            continue;
        }
        const int value = size ? extend(buffer << length, size) : 0;
        const int steps = dc || size ? run + 1 : run == 15 ? 16 : END;
        one[window] = int32_t(uint32_t(value) << 16 | uint32_t(steps) << 8 | uint32_t(length + size));
    }
    for (int window = 0; !dc && window < 1 << FAST_BITS; ++window) {
        int used = 0, steps = 0;
        bool ends = false;
        while (!ends && used < FAST_BITS) {
            const int32_t entry = one[(window << used) & ((1 << FAST_BITS) - 1)];
            const int step = entry >> 8 & 255, length = entry & 255;
            if (!step || used + length > FAST_BITS)
                break;
            if (step == END)
                ends = true;
            else if (steps + step > 63)
                break;
            else
                steps += step;
            used += length;
        }
        many[window] = uint16_t(used ? steps << 8 | (ends ? 128 : 0) | used : 0);
    }
    return true;
}

int read_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor, int16_t *coefficients) {
    Bits b = bits; // in registers
    if (!read_dc(b, dc, predictor))
        return 0;
    coefficients[0] = int16_t(predictor);
    int place = 1;
    while (place < 64) {
        if (b.count < 32)
            refill(b);
        const int32_t entry = ac.one[b.buffer >> (64 - FAST_BITS)];
        const int steps = entry >> 8 & 255;
        int value = entry >> 16;
        if (__builtin_expect(steps, 1)) {
            drop(b, entry & 255);
            place += steps;
        } else {
            place = long_ac(b, ac, entry, place, value);
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

bool skip_block(Bits &bits, const Huffman &dc, const Huffman &ac, int &predictor) {
    Bits b = bits;
    if (!read_dc(b, dc, predictor))
        return false;
    int place = 1;
    while (place < 64) {
        if (b.count < 32)
            refill(b);
        const int window = int(b.buffer >> (64 - FAST_BITS));
        const int entry = ac.many[window], ends = entry >> 7 & 1;
        // Symbols after the block's 64th place belong to the next block: then one at a time.
        if (__builtin_expect(entry != 0 && place + (entry >> 8) + ends <= 64, 1)) {
            drop(b, entry & 127);
            place += entry >> 8;
            if (ends) {
                bits = b;
                return true;
            }
            continue;
        }
        const int32_t single = ac.one[window];
        if (single & 0xff00) {
            drop(b, single & 255);
            place += single >> 8 & 255;
        } else {
            int value;
            place = long_ac(b, ac, single, place, value);
            if (place < 0)
                return false;
        }
    }
    bits = b;
    return place == 64 || place >= END;
}

} // namespace asda
