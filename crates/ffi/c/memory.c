/* The library on memory of the program's own: a fixed piece of it, of which the last that was given is the first that can be used again. */
#define _POSIX_C_SOURCE 200809L
#include <balcony.h>
#include <stdio.h>
#include <stdlib.h>

static _Alignas(64) unsigned char arena[1 << 20];
static size_t used, taken, given_back;

static void *take(size_t size, size_t align) {
    size_t start = used + (align - ((uintptr_t)arena + used) % align) % align;
    if (start + size > sizeof arena) return NULL;
    used = start + size;
    taken++;
    return arena + start;
}

static void give_back(void *memory, size_t size, size_t align) {
    (void)align;
    if ((unsigned char *)memory + size == arena + used) used -= size;
    given_back++;
}

int main(void) {
    balcony_client *client = NULL;
    balcony_event event;
    const uint8_t *output = NULL;
    balcony_config config = {.jid = "romeo@localhost", .password = "r", .tls = BALCONY_TLS_NONE, .seed = {7}};
    if (balcony_use_memory(take, give_back) != BALCONY_RESULT_OK) return 1;
    if (balcony_client_new(&config, 0, &client) != BALCONY_RESULT_OK) return 2;
    if ((unsigned char *)client < arena || (unsigned char *)client >= arena + sizeof arena) return 3;
    if (balcony_client_step(client, 0, &event) != BALCONY_STEP_WAIT) return 4;
    if (balcony_client_output(client, 0, &output) == 0 || output < arena || output >= arena + sizeof arena) return 5;
    balcony_client_free(client);
    /* Too late for another: what one has given cannot go back to the other. */
    if (balcony_use_memory(take, give_back) != BALCONY_RESULT_MISUSE) return 6;
    printf("%zu times memory was taken, %zu times given back\n", taken, given_back);
    return taken > given_back + 2;
}
