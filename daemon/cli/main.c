/* gatehouse: the daemon's command line. The tables are in commands.c, each noun in a cmd_ file. */
#include "cli/command.h"

int main(int argc, char **argv)
{
    struct call call;
    int code = call_parse(&call, argc, argv, stdout, stderr);
    if (code == CALL_RUN)
        code = call.command->run(&call);
    if (fflush(stdout) == EOF || ferror(stdout)) {
        perror("gatehouse: standard output");
        if (code == CLI_DONE)
            code = CLI_REFUSED;
    }
    return code;
}
