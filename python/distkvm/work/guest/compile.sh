# SPDX-License-Identifier: GPL-2.0-or-later
# Many small C files, compiled in parallel and linked.
. ./lib.sh
FILES=40
DIR=/var/tmp/compile
case $PHASE in
prepare)
	mkdir -p $DIR
	cd $DIR
	for n in $(seq $FILES); do
		cat >"part$n.c" <<-END
			#include <stdio.h>
			#include <stdlib.h>
			#include <string.h>
			struct part$n { int key; char text[32]; struct part$n *next; };
			static struct part$n *head$n;
			int add$n(int key, const char *text)
			{
			    struct part$n *p = calloc(1, sizeof(*p));
			    if (!p) { return -1; }
			    p->key = key + $n;
			    strncpy(p->text, text, sizeof(p->text) - 1);
			    p->next = head$n;
			    head$n = p;
			    return p->key;
			}
			int find$n(int key)
			{
			    for (struct part$n *p = head$n; p; p = p->next) {
			        if (p->key == key) { return puts(p->text); }
			    }
			    return 0;
			}
		END
	done
	{
		for n in $(seq $FILES); do
			echo "int add$n(int key, const char *text);"
		done
		echo 'int main(void) { int sum = 0;'
		for n in $(seq $FILES); do
			echo "sum += add$n($n, \"a\");"
		done
		echo "return sum != $FILES * ($FILES + 1); }"
	} >main.c
	cat >Makefile <<-'END'
		.RECIPEPREFIX = >
		OBJECTS := $(patsubst %.c,%.o,$(wildcard *.c))
		program: $(OBJECTS)
		> gcc -o $@ $^
		%.o: %.c
		> gcc -O1 -Wall -c -o $@ $<
	END
	rm -f ./*.o program ;;
work)
	server make -s -C $DIR -j $((CPUS * 2)) program
	$DIR/program ;;
esac
