// JPEG markers (ITU T.81 annex B), as far as a photo's one sequential scan.
#if defined(__x86_64__) // as the files named _avx2, which it needs
#include "jpeg.h"

#include <algorithm>
#include <cstring>

namespace asda {

namespace {

int word(const uint8_t *p) { return p[0] << 8 | p[1]; }

bool quant_tables(const uint8_t *p, const uint8_t *end, Photo &photo) {
    while (p < end) {
        const int id = *p & 15;
        if (*p >> 4 || id > 3 || end - p < 65)
            return false;
        for (int i = 0; i < 64; ++i)
            photo.quant[id][ZIGZAG[i]] = p[1 + i];
        photo.quant_set[id] = true;
        p += 65;
    }
    return true;
}

bool frame(const uint8_t *p, const uint8_t *end, Photo &photo) {
    if (photo.components || end - p < 6 || p[0] != 8)
        return false;
    photo.height = word(p + 1);
    photo.width = word(p + 3);
    photo.components = p[5];
    if (!photo.height || !photo.width || int64_t(photo.height) * photo.width > MAX_PIXELS)
        return false;
    if ((photo.components != 1 && photo.components != 3) || end - p != 6 + 3 * photo.components)
        return false;
    for (int c = 0; c < photo.components; ++c) {
        const uint8_t *q = p + 6 + 3 * c;
        Component &component = photo.component[c];
        photo.ids[c] = q[0];
        component.h = q[1] >> 4;
        component.v = q[1] & 15;
        component.quant = q[2];
        if (component.quant > 3)
            return false;
    }
    Component &luma = photo.component[0];
    if (photo.components == 1)
        luma.h = luma.v = 1; // a scan of one component has one block to an MCU, whatever its factors say
    const bool known = (luma.h == 1 && luma.v == 1) || (luma.h == 2 && luma.v <= 2 && luma.v >= 1);
    if (!known)
        return false;
    for (int c = 0; c < photo.components; ++c) {
        Component &component = photo.component[c];
        if (c && (component.h != 1 || component.v != 1))
            return false;
        component.width = (photo.width * component.h + luma.h - 1) / luma.h;
        component.height = (photo.height * component.v + luma.v - 1) / luma.v;
    }
    if (luma.h == 2 && photo.component[1].width <= 2)
        return false; // libjpeg has another upsampling for so narrow a photo
    photo.mcu_width = 8 * luma.h;
    photo.mcu_height = 8 * luma.v;
    photo.mcus_across = (photo.width + photo.mcu_width - 1) / photo.mcu_width;
    photo.mcus_down = (photo.height + photo.mcu_height - 1) / photo.mcu_height;
    return true;
}

bool scan_header(const uint8_t *p, const uint8_t *end, Photo &photo) {
    const int count = photo.components;
    if (!count || end - p != 4 + 2 * count || p[0] != count)
        return false;
    for (int c = 0; c < count; ++c) {
        Component &component = photo.component[c];
        component.dc = p[2 + 2 * c] >> 4;
        component.ac = p[2 + 2 * c] & 15;
        if (p[1 + 2 * c] != photo.ids[c] || component.dc > 3 || component.ac > 3)
            return false;
        if (!photo.dc[component.dc].set || !photo.ac[component.ac].set || !photo.quant_set[component.quant])
            return false;
        component.brightest = brightest(photo, c);
    }
    const uint8_t *rest = p + 1 + 2 * count;
    if (rest[0] != 0 || rest[1] != 63 || rest[2] != 0)
        return false;
    for (int c = 0; c < count; ++c)
        if (!photo.dc[photo.component[c].dc].build(true, false) || !photo.ac[photo.component[c].ac].build(false, true))
            return false;
    return true;
}

} // namespace

// Samples of 8 bits have means of +-1024 in the transform's scale, and encoders that sharpen highlights add at most 31
// to a sample; a step more for one that rounds as it likes.
int brightest(const Photo &photo, int c) {
    return (1024 + 8 * 31) / std::max<int>(photo.quant[photo.component[c].quant][0], 1) + 2;
}

bool huffman_tables(const uint8_t *p, const uint8_t *end, Photo &photo) {
    while (p < end) {
        const int cls = *p >> 4, id = *p & 15;
        if (cls > 1 || id > 3 || end - p < 17)
            return false;
        Huffman &table = (cls ? photo.ac : photo.dc)[id];
        int total = 0;
        for (int i = 1; i <= 16; ++i)
            total += p[i];
        if (total > 256 || end - p < 17 + total)
            return false;
        // Most photos have the tables of the photo before (the standard's own).
        if (std::memcmp(table.counts + 1, p + 1, 16) || std::memcmp(table.symbols, p + 17, size_t(total))) {
            std::memcpy(table.counts + 1, p + 1, 16);
            std::memcpy(table.symbols, p + 17, size_t(total));
            table.built = false;
        }
        table.set = true;
        p += 17 + total;
    }
    return true;
}

bool parse(const uint8_t *data, size_t size, Photo &photo) {
    const uint8_t *p = data, *const end = data + size;
    photo.width = photo.height = photo.components = photo.restart = 0;
    photo.progressive = photo.stray = false;
    for (int i = 0; i < 4; ++i)
        photo.quant_set[i] = photo.dc[i].set = photo.ac[i].set = false;
    bool jfif = false;
    if (size < 4 || p[0] != 0xff || p[1] != 0xd8)
        return false;
    p += 2;
    for (;;) {
        if (end - p < 4)
            return false;
        if (p[0] != 0xff || p[1] == 0) { // belongs to no segment: libjpeg passes over it, and every table comes yet
            photo.stray = true;
            ++p;
            continue;
        }
        if (p[1] == 0xff) { // fill byte
            ++p;
            continue;
        }
        const int marker = p[1], length = word(p + 2);
        const uint8_t *body = p + 4, *next = p + 2 + length;
        if (length < 2 || next > end)
            return false;
        bool good = true;
        switch (marker) {
        case 0xdb:
            good = quant_tables(body, next, photo);
            break;
        case 0xc4:
            good = huffman_tables(body, next, photo);
            break;
        case 0xc0: // baseline
        case 0xc1: // extended sequential
        case 0xc2: // progressive
            good = frame(body, next, photo);
            photo.progressive = marker == 0xc2;
            break;
        case 0xdd:
            good = next - body == 2;
            photo.restart = good ? word(body) : 0;
            break;
        case 0xe0:
            jfif = jfif || (next - body >= 5 && !std::memcmp(body, "JFIF", 5));
            break;
        case 0xee: // Adobe: its transform byte says how colours are coded; 1 is YCbCr
            if (next - body >= 12 && !std::memcmp(body, "Adobe", 5) && !jfif)
                good = body[11] == 1;
            break;
        case 0xda: {
            const bool usual = photo.ids[0] == 1 && photo.ids[1] == 2 && photo.ids[2] == 3;
            if (!photo.components || (photo.components == 3 && !jfif && !usual))
                return false; // no frame yet, or perhaps RGB
            photo.scan = photo.progressive ? p : next;
            photo.scan_size = size_t(end - photo.scan);
            return photo.progressive || scan_header(body, next, photo);
        }
        default: // other application data and comments are skipped; other frames and standalone markers are not ours
            good = (marker >= 0xe1 && marker <= 0xef) || marker == 0xfe;
        }
        if (!good)
            return false;
        p = next;
    }
}

const uint8_t *unstuff(const uint8_t *data, size_t size, bool restarts, Scan &scan) {
    make_room(scan.bytes, size + PADDING);
    scan.begin.assign(1, 0);
    const uint8_t *p = data, *const end = data + size;
    uint8_t *out = scan.bytes.data();
    const uint8_t *mark;
    for (;;) {
        mark = static_cast<const uint8_t *>(std::memchr(p, 0xff, size_t(end - p)));
        if (!mark || mark + 1 >= end)
            return nullptr; // cut short
        std::memcpy(out, p, size_t(mark - p));
        out += mark - p;
        const int code = mark[1];
        p = mark + 2;
        if (code == 0) {
            *out++ = 0xff;
        } else if (code >= 0xd0 && code <= 0xd7) {
            if (!restarts || code != 0xd0 + int((scan.begin.size() - 1) & 7))
                return nullptr;
            scan.begin.push_back(size_t(out - scan.bytes.data()));
        } else if (code == 0xff) {
            p = mark + 1; // fill byte before a marker
        } else {
            break;
        }
    }
    scan.begin.push_back(size_t(out - scan.bytes.data()));
    std::memset(out, 0, PADDING);
    return mark;
}

} // namespace asda
#endif
