import eslint from '@eslint/js';
import { defineConfig, globalIgnores } from 'eslint/config';
import tseslint from 'typescript-eslint';
import { IMPORT_RULES } from './eslint.layers.js';

/** A constructor that does more than to keep its collaborators is hard to read and to test. */
const constructorLines = {
  create: (context) => ({
    'MethodDefinition[kind="constructor"]'(node) {
      const lines = node.loc.end.line - node.loc.start.line + 1;
      if (lines > 40) context.report({ node, message: `A constructor of ${lines} lines; 40 are allowed.` });
    },
  }),
};

export default defineConfig(
  globalIgnores(['dist/', 'coverage/', 'mnt/']),
  eslint.configs.recommended,
  {
    name: 'thinfuse/typescript',
    files: ['**/*.ts'],
    extends: [tseslint.configs.strictTypeChecked, tseslint.configs.stylisticTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'inline-type-imports' }],
      // A constant condition names an endless loop; everything else it finds stays an error.
      '@typescript-eslint/no-unnecessary-condition': [
        'error',
        { allowConstantLoopConditions: 'only-allowed-literals' },
      ],
      '@typescript-eslint/no-confusing-void-expression': ['error', { ignoreArrowShorthand: true }],
      '@typescript-eslint/restrict-template-expressions': ['error', { allowNumber: true }],
      // Indexing a typed array inside its bounds is what most of the format and the B-tree do; `!` says the
      // bounds are known.
      '@typescript-eslint/no-non-null-assertion': 'off',
      '@typescript-eslint/switch-exhaustiveness-check': [
        'error',
        { considerDefaultExhaustiveForUnions: true },
      ],
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
    },
  },
  {
    name: 'thinfuse/style',
    files: ['src/**/*.ts', 'test/**/*.ts'],
    plugins: { thinfuse: { rules: { 'constructor-lines': constructorLines } } },
    rules: {
      'thinfuse/constructor-lines': 'error',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
      'no-duplicate-imports': ['error', { allowSeparateTypeImports: true }],
      'max-lines': ['error', 500],
      // Prettier breaks the code; comments wrap at the same column, except a grammar.
      'max-len': ['error', { code: 600, comments: 110, ignorePattern: ':=|:(u(8|32|64)|128) ' }],
      'no-restricted-syntax': [
        'error',
        { selector: 'ExportAllDeclaration', message: 'No barrels: import from the file that defines it.' },
        {
          selector: 'Program > ExportDefaultDeclaration',
          message: 'Named exports only.',
        },
        { selector: 'TSEnumDeclaration', message: 'A union of string literals instead of an enum.' },
      ],
      'object-shorthand': 'error',
      'prefer-const': 'error',
    },
  },
  IMPORT_RULES,
  {
    name: 'thinfuse/tests',
    files: ['test/**/*.ts'],
    rules: {
      '@typescript-eslint/no-confusing-void-expression': 'off',
      '@typescript-eslint/no-empty-function': 'off',
      '@typescript-eslint/prefer-promise-reject-errors': 'off',
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': 'off',
    },
  },
  {
    name: 'thinfuse/scripts',
    files: ['**/*.js', '**/*.cjs'],
    languageOptions: { globals: { process: 'readonly', console: 'readonly' } },
  },
);
