/* A rectangle of a JPEG as libjpeg-turbo decodes one: jpeg_skip_scanlines down to it, jpeg_crop_scanline across.
 * benchmarks/loader_regions.py compiles this and calls it. */
#include <stdio.h>

#include <jpeglib.h>
#include <setjmp.h>

struct manager {
    struct jpeg_error_mgr base;
    jmp_buf back;
};

static void fail(j_common_ptr info) { longjmp(((struct manager *)info->err)->back, 1); }
static void quiet(j_common_ptr info, int level) {
    (void)info;
    (void)level;
}

/* at: x, y, width, height; x and width come back as libjpeg rounded them, to whole blocks. out: [height, room] bytes.
 * 0, or 1 for what libjpeg refuses. */
int jpeg_region(const unsigned char *data, unsigned long size, unsigned *at, unsigned char *out, unsigned long room) {
    struct jpeg_decompress_struct info;
    struct manager errors;
    unsigned y;
    info.err = jpeg_std_error(&errors.base);
    errors.base.error_exit = fail;
    errors.base.emit_message = quiet;
    if (setjmp(errors.back)) {
        jpeg_destroy_decompress(&info);
        return 1;
    }
    jpeg_create_decompress(&info);
    jpeg_mem_src(&info, data, size);
    jpeg_read_header(&info, TRUE);
    info.out_color_space = JCS_RGB;
    jpeg_start_decompress(&info);
    jpeg_crop_scanline(&info, &at[0], &at[2]);
    if (at[2] * 3ul > room)
        fail((j_common_ptr)&info);
    if (at[1])
        jpeg_skip_scanlines(&info, at[1]);
    for (y = 0; y < at[3]; ++y) {
        JSAMPROW row = out + y * room;
        jpeg_read_scanlines(&info, &row, 1);
    }
    jpeg_abort_decompress(&info);
    jpeg_destroy_decompress(&info);
    return 0;
}
