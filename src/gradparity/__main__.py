"""python -m gradparity"""

from gradparity.cli import main

main()
